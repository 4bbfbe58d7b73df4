"""Quality by processor time: this trainer beside the one before it, and the expert for detail beside others, all from random weights.

    python -m benchmarks quality_per_second --json benchmarks/results/quality_per_second.json      called again, goes on where it was
    python -m benchmarks quality_per_second --shapes 2 --json ...       sizes of the expert for detail, two minutes each, three seeds

On noise alone, judged on Kodak24. `before` is the predictor's first stage of the first `general`: one network, states of the forward path,
AdamW, squared error. `now` is the preset's first stage with L1 and smaller batches. Steps are fixed; the processor seconds of a run are
measured, from reading the photographs to writing the weights. Networks of other sizes are trained as `now` is, by the clock.
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
from benchmarks._shared import HERE, average, positive, protocol, read_json, shared_folder, table
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
SHAPES: dict[str, dict[str, int]] = {
    "base 32": {"base": 32},
    "base 48": {},
    "base 64": {"base": 64},
    "three blocks": {"blocks": 3},
}
"""Sizes of the expert for detail, where they are others than those that ship."""


def run(trainer: str, seed: int, scale: float) -> Config:
    """The configuration of a run. scale: times the usual number of steps."""
    general, now = config.load(config.find("general")), trainer == "now"
    stage = Stage(steps=160, lr=8e-4, batch=32, crop=64, warmup=8)
    if now:
        stage = replace(general.stages[0], steps=247, lr=5e-3, batch=8, crop=64, warmup=10, loss="l1")
    stage = replace(stage, steps=max(2, round(scale * stage.steps)))
    made = replace(general, name=trainer, seed=seed, precision=PRECISION, minutes=0, workers=0, save_every=10**6)
    made = replace(made, validation=replace(made.validation, count=1, size=64))  # the run's own, which takes its time
    data = Data(photos=["BSDS500", "photos_more"], kinds={"noise": 1.0}, second=0.0, held_out=0.0)
    return replace(made, data=data, network=general.network if now else Network(bottom=2), stages=[stage])


def shaped(shape: str, seed: int, minutes: float) -> Config:
    """As `now`, with a detail expert of other sizes, until the time is over."""
    made = run("now", seed, 1)
    low, native = made.network.experts
    network = replace(made.network, experts=[low, replace(native, **SHAPES[shape])])
    return replace(made, name=shape, network=network, minutes=minutes, stages=[replace(made.stages[0], steps=10**6)])


def one(settings: Config, ways: dict[str, dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Train and judge: processor seconds, and PSNR by way of sampling. It is kept in the folder, where a later call finds it."""
    kept, seed, data = folder / "result.json", settings.seed, shared_folder() / "data"
    if not kept.is_file():
        settings = replace(settings, data=replace(settings.data, root=str(data / "train")))
        started = time.process_time()
        train(settings, folder)
        seconds = time.process_time() - started
        rows = [methods.model(load(folder, "cpu", PRECISION), title, **way) for title, way in ways.items()]
        with tempfile.TemporaryDirectory() as crops:
            test = cropped(find(data / "test")[SETS[0]], Path(crops), 4)
            scores = quality.measure([test], rows)["sets"][test.name]
        psnr = {row.title: average(scores[row.title]["one draw"]) for row in rows}
        write_json(kept, {"seed": seed, "seconds": seconds, "psnr": psnr})
    return read_json(kept)


def measure(given: Namespace) -> dict[str, Any]:
    counts, scale = ((1, 1), 0.02) if given.quick else (given.seeds, given.scale)
    kept = read_json(given.json)["runs"] if given.json and given.json.is_file() else {}
    if given.shapes:
        shapes = {
            name: [
                one(
                    shaped(name, seed, given.shapes),
                    WAYS["now"],
                    given.work / f"{name}-{given.shapes:g}-{seed}".replace(" ", "-"),
                )
                for seed in range(counts[1])
            ]
            for name in SHAPES
        }
        runs = kept | {"shapes": shapes}
    else:
        noise = {
            name: [
                one(run(name, seed, scale), WAYS[name], given.work / f"noise-{name}-{scale:g}-{seed}")
                for seed in range(count)
            ]
            for name, count in zip(WAYS, counts, strict=True)
        }
        runs = kept | {"noise": noise}
    judged = f"central 256x256 of every fourth photograph of {SETS[0]}, RGB, 8 bit"
    about = {
        "runs": {name: asdict(run(name, 0, scale)) for name in WAYS},
        "ways": WAYS,
        "shapes": SHAPES,
        "scale": scale,
        "judged": judged,
    }
    return {"protocol": protocol(given, **about), "runs": runs}


def show(result: dict[str, Any]) -> str:
    rows = []
    named = [(f"noise, {name}", runs) for name, runs in result["runs"]["noise"].items()]
    for name, runs in (*named, *result["runs"].get("shapes", {}).items()):
        psnr = max(([r["psnr"][way] for r in runs] for way in runs[0]["psnr"]), key=fmean)
        cells = (", ".join(f"{v:.2f}" for v in psnr), f"{stdev(psnr):.2f}" if len(psnr) > 1 else "")
        rows.append((name, f"{fmean(r['seconds'] for r in runs):.0f}", *cells, f"{fmean(psnr):.2f}"))
    return table(("", "processor seconds", "PSNR (dB), seed by seed", "spread", "mean"), rows)


OPTIONS = {
    "--scale": (1.0, "times as many steps"),
    "--work": (HERE.parent / "runs" / "quality_per_second", "of the runs"),
    "--shapes": (0.0, "minutes for each size of the expert for detail; 0: the two trainers instead"),
    "--seeds": {"type": positive, "nargs": 2, "default": (3, 3), "help": "runs of each, before and now"},
}
