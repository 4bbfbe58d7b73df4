"""Quality by processor time: this trainer beside the one before it, both from random weights, on noise alone.

    python -m benchmarks quality_per_second --json benchmarks/results/quality_per_second.json      called again, goes on where it was

`before` is the first stage of the first `general`: one network, states of the forward path, AdamW, squared error. `now` is the preset's
stage for detail with L1 and smaller batches. Steps are fixed; the processor seconds of a run are measured, from reading the
photographs to writing the weights.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks._sampling import PRECISION
from benchmarks._shared import HERE, positive, protocol, read_json, shared_folder, table
from benchmarks.denoisers import SETS, cropped
from unveil.bench import methods, quality
from unveil.bench.record import write_json
from unveil.bench.sets import find
from unveil.restorer import load
from unveil.training import config
from unveil.training.loop import train
from unveil.training.settings import Config, Data, Network, Stage

WAYS: dict[str, dict[str, dict[str, Any]]] = {
    "before": {f"{n} steps": {"steps": n, "resolution": "off", "fidelity": 1.0} for n in (1, 2, 5)},
    "now": {"told noise": {"fix": "noise"}},
}
"""Of sampling: for `before`, which cannot be told, the best of three counts."""


def run(trainer: str, seed: int, scale: float) -> Config:
    """The configuration of a run. scale: times the usual number of steps."""
    general = config.load(config.find("general"))
    data = Data(photos=["BSDS500", "photos_more"], kinds={"noise": 1.0}, second=0.0, held_out=0.0)
    network, stage = Network(bottom=2), Stage(steps=round(160 * scale), lr=8e-4, batch=32, crop=64, warmup=8)
    if trainer == "now":
        network = general.network
        stage = replace(general.stages[0], steps=round(247 * scale), lr=5e-3, batch=8, crop=64, warmup=10, loss="l1")
    made = replace(general, name=trainer, seed=seed, precision=PRECISION, minutes=0, workers=0, save_every=10**6)
    return replace(made, data=data, network=network, stages=[stage])


def one(trainer: str, seed: int, scale: float, folder: Path) -> dict[str, Any]:
    """Train and judge: processor seconds, and PSNR by way of sampling. It is kept in the folder, where a later call finds it."""
    kept, settings, data = folder / "result.json", run(trainer, seed, scale), shared_folder() / "data"
    if not kept.is_file():
        started = time.process_time()
        train(replace(settings, data=replace(settings.data, root=str(data / "train"))), folder)
        seconds = time.process_time() - started
        rows = [methods.model(load(folder, "cpu", PRECISION), title, **way) for title, way in WAYS[trainer].items()]
        with tempfile.TemporaryDirectory() as crops:
            test = cropped(find(data / "test")[SETS[0]], Path(crops), 4)
            scores = quality.measure([test], rows)["sets"][test.name]
        psnr = {row.title: fmean(photograph["psnr"] for photograph in scores[row.title]["one draw"]) for row in rows}
        write_json(kept, {"seed": seed, "seconds": seconds, "psnr": psnr})
    return read_json(kept)


def measure(given: Namespace) -> dict[str, Any]:
    counts, scale = ((1, 1), 0.02) if given.quick else (given.seeds, given.scale)
    runs = {
        name: [one(name, seed, scale, given.work / f"{name}-{scale:g}-{seed}") for seed in range(count)]
        for name, count in zip(WAYS, counts, strict=True)
    }
    about = {"runs": {n: asdict(run(n, 0, scale)) for n in WAYS}, "ways": WAYS, "scale": scale}
    judged = f"central 256x256 of every fourth photograph of {SETS[0]}, RGB, 8 bit"
    return {"protocol": protocol(given, **about, judged=judged), "runs": runs}


def show(result: dict[str, Any]) -> str:
    rows = []
    for name, runs in result["runs"].items():
        psnr = max(([r["psnr"][way] for r in runs] for way in runs[0]["psnr"]), key=fmean)
        cells = (", ".join(f"{v:.2f}" for v in psnr), f"{stdev(psnr):.2f}" if len(psnr) > 1 else "")
        rows.append((name, f"{fmean(r['seconds'] for r in runs):.0f}", *cells, f"{fmean(psnr):.2f}"))
    return table(("", "processor seconds", "PSNR (dB), seed by seed", "spread", "mean"), rows)


OPTIONS = {
    "--scale": (1.0, "times as many steps"),
    "--work": (HERE.parent / "runs" / "quality_per_second", "of the runs"),
    "--seeds": {"type": positive, "nargs": 2, "default": (3, 3), "help": "runs of each, before and now"},
}
