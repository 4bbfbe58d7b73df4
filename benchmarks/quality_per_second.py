"""Quality by processor time: this trainer beside the one before it, and the expert for detail beside others, all from random weights.

    python -m benchmarks quality_per_second --json benchmarks/results/quality_per_second.json      called again, goes on where it was
    python -m benchmarks quality_per_second --shapes 2 --json ...       sizes of the expert for detail, two minutes each, three seeds
    python -m benchmarks quality_per_second --mixture 7 --json ...      the two trainers on the preset's mixture, `before` for 7 minutes
    python -m benchmarks quality_per_second --averages --json ...       averages of the weights of `now` after twice its steps

On noise alone, judged on Kodak24; on the mixture, judged on crops of photographs that the preset keeps for validation. `before` is the
predictor's first stage of the first `general`: one network, states of the forward path, AdamW, squared error. `now` is the preset's first
stage with L1 and smaller batches. Steps are fixed; the processor seconds of a run are measured, from reading the photographs to writing the
weights. Networks of other sizes are trained as `now` is, by the clock, and so is the mixture, where `now` has SHARE of the time of `before`
and both of the preset's stages, told what is wrong.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks._choices import crops_of, source_of
from benchmarks._sampling import PRECISION
from benchmarks._shared import HERE, average, positive, protocol, read_json, shared_folder, table
from benchmarks.denoisers import SETS, SIDE, cropped
from unveil.bench import methods, quality
from unveil.bench.record import write_json
from unveil.bench.sets import find
from unveil.evaluation.metrics.classical import decibel
from unveil.restorer import Restorer, load
from unveil.training import config
from unveil.training.loop import train
from unveil.training.settings import Config, Data, Network, Stage
from unveil.training.state import State

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
SHARE = 0.6
"""Of the time of `before`, which `now` has on the mixture."""
GAMMAS = (1, 4, 16, 32)
"""Of averages that weigh the weights after step t of T by (t / T) ** gamma (Karras et al., "Analyzing and improving the training dynamics
of diffusion models", CVPR 2024). The trainer's own is such a one, of gamma 8, until `ema` bounds its length."""
CROPS = {"haze": 8, "shadow": 6, "lowlight": 6, "noise": 10, "blur": 4, "jpeg": 6}
"""Crops of 256 px that the mixture is judged on, by damage."""


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


def mixed(trainer: str, seed: int, minutes: float) -> Config:
    """The configuration of a run on the preset's mixture, until the time is over."""
    made, general = run(trainer, seed, 1), config.load(config.find("general"))
    stages = made.stages
    if trainer == "now":
        native, low = (replace(s, steps=10**6, lr=5e-3, batch=8, warmup=10, loss="l1") for s in general.stages)
        stages, minutes = [replace(native, crop=64), low], SHARE * minutes
    else:
        stages = [replace(stages[0], steps=10**6)]
    return replace(made, name=f"mixture-{trainer}", minutes=minutes, data=general.data, stages=stages)


def on_crops(restorer: Restorer, ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """PSNR on the crops of the mixture by way of sampling, and by damage. A way `{}` tells what is wrong."""
    test = crops_of(source_of(restorer.model), CROPS, 0, SIDE)
    found: dict[str, Any] = {}
    for title, way in {"input": None, **ways}.items():
        values: dict[str, list[float]] = {}
        for clean, damaged, kind in zip(test.x, test.y, test.kinds, strict=True):
            seen = damaged.permute(1, 2, 0).numpy()
            if way is not None:
                seen = np.clip(restorer.restore(seen, **(way or {"fix": kind}), seed=0).image, 0, 1)
            error = np.square(seen - clean.permute(1, 2, 0).numpy(), dtype=np.float64).mean()
            values.setdefault(kind, []).append(decibel(float(error)))
        found[title] = fmean(v for of_kind in values.values() for v in of_kind)
        found.setdefault("by damage", {})[title] = {kind: fmean(v) for kind, v in values.items()}
    return found


def on_noise(restorer: Restorer, ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """PSNR on noisy crops of Kodak24 by way of sampling."""
    rows = [methods.model(restorer, title, **way) for title, way in ways.items()]
    with tempfile.TemporaryDirectory() as crops:
        test = cropped(find(shared_folder() / "data" / "test")[SETS[0]], Path(crops), 4)
        scores = quality.measure([test], rows)["sets"][test.name]
    return {row.title: average(scores[row.title]["one draw"]) for row in rows}


def one(settings: Config, ways: dict[str, dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Train and judge: processor seconds, and PSNR by way of sampling. It is kept in the folder, where a later call finds it."""
    kept = folder / "result.json"
    if not kept.is_file():
        started = time.process_time()
        train(rooted(settings), folder)
        seconds = time.process_time() - started
        judge = on_crops if settings.name.startswith("mixture") else on_noise
        psnr = judge(load(folder, "cpu", PRECISION), ways)
        write_json(
            kept, {"seed": settings.seed, "seconds": seconds, "by damage": psnr.pop("by damage", {}), "psnr": psnr}
        )
    return read_json(kept)


def rooted(settings: Config) -> Config:
    """Where the photographs are here."""
    return replace(settings, data=replace(settings.data, root=str(shared_folder() / "data" / "train")))


def by_average(settings: Config, folder: Path) -> dict[str, dict[str, Any]]:
    """One run, judged with averages of its weights of other lengths (GAMMAS), as `one` judges: by name of the average."""
    held: dict[int, dict[str, Tensor]] = {gamma: {} for gamma in GAMMAS}
    usual = State.average

    def average_too(state: State, *trained: str) -> None:
        usual(state, *trained)
        for gamma, weights in held.items():
            moved = 1 - (1 - 1 / state.counters.done) ** (gamma + 1)
            for key, parameter in state.moving(trained[0]).items():
                weights[key] = torch.lerp(weights.get(key, parameter.detach()), parameter.detach(), moved)

    started = time.process_time()
    with mock.patch.object(State, "average", average_too):
        train(rooted(settings), folder)
    seconds = time.process_time() - started
    restorer = load(folder, "cpu", PRECISION)
    found = {}
    for name, weights in ({"as shipped": {}} | {f"power {gamma}": weights for gamma, weights in held.items()}).items():
        if weights:
            restorer.model.predictor.native.load_state_dict(weights)
        found[name] = {"seed": settings.seed, "seconds": seconds, "psnr": on_noise(restorer, WAYS["now"])}
    return found


def measure(given: Namespace) -> dict[str, Any]:
    counts, scale = ((1, 1), 0.02) if given.quick else (given.seeds, given.scale)
    kept = read_json(given.json)["runs"] if given.json and given.json.is_file() else {}
    seeds, work = range(counts[1]), given.work

    def several(made: Callable[[str, int], Config], ways: dict[str, dict[str, Any]], length: float) -> Any:
        """By trainer or size: its runs."""
        return {
            name: [
                one(made(name, n), way, work / f"{made(name, n).name}-{length:g}-{n}".replace(" ", "-")) for n in seeds
            ]
            for name, way in ways.items()
        }

    if given.shapes:
        ways = dict.fromkeys(SHAPES, WAYS["now"])
        found = {"shapes": several(lambda name, n: shaped(name, n, given.shapes), ways, given.shapes)}
    elif given.mixture:
        ways = {"before": WAYS["before"], "now": {"told": {}}}
        found = {"mixture": several(lambda name, n: mixed(name, n, given.mixture), ways, given.mixture)}
    elif given.averages:
        runs = [by_average(run("now", n, 2 * scale), work / f"averages-{scale:g}-{n}") for n in seeds]
        found = {"averages": {name: [one[name] for one in runs] for name in runs[0]}}
    else:
        noise = {
            name: [
                one(run(name, seed, scale), WAYS[name], work / f"noise-{name}-{scale:g}-{seed}")
                for seed in range(count)
            ]
            for name, count in zip(WAYS, counts, strict=True)
        }
        found = {"noise": noise}
    judged = f"central 256x256 of every fourth photograph of {SETS[0]}, RGB, 8 bit"
    about = {
        "runs": {name: asdict(run(name, 0, scale)) for name in WAYS},
        "ways": WAYS,
        "shapes": SHAPES,
        "scale": scale,
        "judged": judged,
    }
    return {"protocol": protocol(given, **about), "runs": kept | found}


def show(result: dict[str, Any]) -> str:
    rows = []
    parts = result["runs"]
    named = [
        (f"{p}, {name}", runs) for p in ("noise", "mixture", "averages") for name, runs in parts.get(p, {}).items()
    ]
    for name, runs in (*named, *parts.get("shapes", {}).items()):
        psnr = max(([r["psnr"][way] for r in runs] for way in runs[0]["psnr"] if way != "input"), key=fmean)
        cells = (", ".join(f"{v:.2f}" for v in psnr), f"{stdev(psnr):.2f}" if len(psnr) > 1 else "")
        rows.append((name, f"{fmean(r['seconds'] for r in runs):.0f}", *cells, f"{fmean(psnr):.2f}"))
    return table(("", "processor seconds", "PSNR (dB), seed by seed", "spread", "mean"), rows)


OPTIONS = {
    "--scale": (1.0, "times as many steps"),
    "--work": (HERE.parent / "runs" / "quality_per_second", "of the runs"),
    "--shapes": (0.0, "minutes for each size of the expert for detail; 0: the two trainers instead"),
    "--mixture": (0.0, "minutes of `before` on the preset's mixture"),
    "--averages": (False, "of the weights of `now` after twice its steps"),
    "--seeds": {"type": positive, "nargs": 2, "default": (3, 3), "help": "runs of each, before and now"},
}
