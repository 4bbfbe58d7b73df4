"""Quality by processor time: this trainer beside the one before it, both from random weights.

    python -m benchmarks quality_per_second --json benchmarks/results/quality_per_second.json      called again, goes on where it was

Two tasks: noise alone, judged on Kodak24, and `general`'s mixture of damage, judged untold on photographs that training keeps back (which
takes a large `--scale`: from nothing, neither comes up to its input in the usual number of steps).
`before` are the predictor's stages of the first `general`: one network, states of the forward path, AdamW, squared error; for noise the
first alone, which suits it best. `now` are the preset's stages with L1 and smaller batches. Steps are fixed; the processor seconds of a
run are measured, from reading the photographs to writing the weights.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks._sampling import PRECISION
from benchmarks._shared import HERE, average, positive, protocol, read_json, shared_folder, table
from benchmarks.denoisers import SETS, cropped
from unveil.bench import methods, quality
from unveil.bench.record import write_json
from unveil.bench.sets import find
from unveil.restorer import load
from unveil.training import config
from unveil.training.batches import Source
from unveil.training.loop import train
from unveil.training.settings import Config, Data, Network, Stage
from unveil.training.validation import held_out, validate

WAYS: dict[str, dict[str, dict[str, Any]]] = {
    "before": {f"{n} steps": {"steps": n, "resolution": "off", "fidelity": 1.0} for n in (1, 2, 5)},
    "now": {"told noise": {"fix": "noise"}},
}
"""Of sampling, on noise: for `before`, which cannot be told, the best of three counts."""
TASKS = ("noise", "mixture")
HELD_OUT = (48, 128)
"""How many crops of photographs kept back judge the mixture, and their side."""


def run(task: str, trainer: str, seed: int, scale: float) -> Config:
    """The configuration of a run. scale: times the usual number of steps."""
    general = config.load(config.find("general"))
    mixed, now = task == "mixture", trainer == "now"
    data = replace(general.data, photos=["BSDS500", "photos_more"], pairs=[])
    if not mixed:
        data = Data(photos=data.photos, kinds={"noise": 1.0}, second=0.0, held_out=0.0)
    first = Stage(steps=100 if mixed else 160, lr=8e-4, batch=32, crop=64, warmup=8)
    lit = Stage(lr=5e-4, batch=14, crop=96, switch=0.3, balance=0.25, warmup=4)
    stages = [first, replace(lit, steps=20, low=0.5, start=0.35), replace(lit, steps=24, view=64, low=0.75, start=0.65)]
    if now:
        small: dict[str, Any] = {"batch": 8, "crop": 64, "warmup": 10}
        detail = replace(general.stages[0], steps=150 if mixed else 247, lr=5e-3, loss="l1", **small)
        stages = [detail, replace(general.stages[1], steps=100, lr=4e-3, view=64, **small)]
    stages = [replace(stage, steps=max(2, round(scale * stage.steps))) for stage in (stages if mixed else stages[:1])]
    made = replace(general, name=trainer, seed=seed, precision=PRECISION, minutes=0, workers=0, save_every=10**6)
    made = replace(made, validation=replace(made.validation, count=1, size=64))  # the run's own, which takes its time
    return replace(made, data=data, network=general.network if now else Network(bottom=2), stages=stages)


def one(task: str, trainer: str, seed: int, scale: float, folder: Path) -> dict[str, Any]:
    """Train and judge: processor seconds, and PSNR by way of sampling. It is kept in the folder, where a later call finds it."""
    kept, settings, data = folder / "result.json", run(task, trainer, seed, scale), shared_folder() / "data"
    if not kept.is_file():
        settings = replace(settings, data=replace(settings.data, root=str(data / "train")))
        started = time.process_time()
        train(settings, folder)
        seconds = time.process_time() - started
        psnr = on_mixture(settings, folder) if task == "mixture" else on_noise(trainer, folder, data / "test")
        write_json(kept, {"seed": seed, "seconds": seconds, "psnr": psnr})
    return read_json(kept)


def on_noise(trainer: str, folder: Path, data: Path) -> dict[str, float]:
    """PSNR by way of sampling, on noisy crops."""
    rows = [methods.model(load(folder, "cpu", PRECISION), title, **way) for title, way in WAYS[trainer].items()]
    with tempfile.TemporaryDirectory() as crops:
        test = cropped(find(data)[SETS[0]], Path(crops), 4)
        scores = quality.measure([test], rows)["sets"][test.name]
    return {row.title: average(scores[row.title]["one draw"]) for row in rows}


def on_mixture(settings: Config, folder: Path) -> dict[str, float]:
    """PSNR by fidelity, of photographs kept back, damaged as those of training, told nothing."""
    count, size = HELD_OUT
    settings = replace(settings, validation=replace(settings.validation, count=count, size=size))
    crops = held_out(settings, Source(settings.data, held_out=True))
    assert crops is not None
    model, device = load(folder, "cpu", PRECISION).model, torch.device("cpu")
    scores = {f: validate(model, crops, nullcontext, device, fidelity=f) for f in (0.0, 1.0)}  # type: ignore[arg-type]
    return {"input": scores[1.0].input_psnr} | {f"fidelity {f:g}": s.psnr for f, s in scores.items()}


def measure(given: Namespace) -> dict[str, Any]:
    counts, scale = ((1, 1), 0.02) if given.quick else (given.seeds, given.scale)
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for task in given.tasks:
        runs[task] = {
            name: [one(task, name, n, scale, given.work / f"{task}-{name}-{scale:g}-{n}") for n in range(count)]
            for name, count in zip(WAYS, counts, strict=True)
        }
    settings = {t: {n: asdict(run(t, n, 0, scale)) for n in WAYS} for t in given.tasks}
    mixture = "{} central crops of {} px of photographs kept back, damaged as in training, told nothing".format(
        *HELD_OUT
    )
    judged = {"noise": f"central 256x256 of every fourth photograph of {SETS[0]}, RGB, 8 bit", "mixture": mixture}
    return {"protocol": protocol(given, runs=settings, ways=WAYS, scale=scale, judged=judged), "runs": runs}


def show(result: dict[str, Any]) -> str:
    rows = []
    for task, name in product(result["runs"], WAYS):
        runs = result["runs"][task][name]
        psnr = max(([r["psnr"][way] for r in runs] for way in runs[0]["psnr"] if way != "input"), key=fmean)
        cells = (", ".join(f"{v:.2f}" for v in psnr), f"{stdev(psnr):.2f}" if len(psnr) > 1 else "")
        rows.append((f"{task}, {name}", f"{fmean(r['seconds'] for r in runs):.0f}", *cells, f"{fmean(psnr):.2f}"))
    return table(("", "processor seconds", "PSNR (dB), seed by seed", "spread", "mean"), rows)


OPTIONS = {
    "--tasks": (TASKS[:1], "", TASKS),
    "--scale": (1.0, "times as many steps"),
    "--work": (HERE.parent / "runs" / "quality_per_second", "of the runs"),
    "--seeds": {"type": positive, "nargs": 2, "default": (3, 3), "help": "runs of each, before and now"},
}
