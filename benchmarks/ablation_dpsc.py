"""DPSC's targets against no correction, the same extra training, and a regression: small networks, held-out photographs.

    python -m benchmarks ablation_dpsc --json benchmarks/results/ablation_dpsc.json             seeds 0, 1 and 2 in a row
    python -m benchmarks ablation_dpsc --seed 1 --json dpsc_1.json                              one seed (several processes)
    python -m benchmarks ablation_dpsc --merge dpsc_*.json --json benchmarks/results/ablation_dpsc.json

All rows of a seed share one base predictor; then each is given the same further training, counted in multiply-adds of
forward and backward passes: the predictor trained on, or the frozen predictor's head trained on one of the targets. The
regression gets base and further training together. The crops, their damage and the sampler's noise are the same for all.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._ablation import (
    KINDS,
    Branches,
    described,
    measured_on,
    model,
    multiply_adds,
    narrowed,
    parameters,
    prepared,
)
from benchmarks._pages import Facts
from benchmarks._sampling import PRECISION, draws, fast, pooled, quality
from benchmarks._shared import SEED, over_seeds, protocol, table
from unveil.diffusion.correction import eq51, leverage
from unveil.diffusion.prediction import from_x0
from unveil.training.settings import Stage

SEEDS = (0, 1, 2)
HEADS = ("on_policy", "on_policy_all", "posterior", "forward", "eq51")
FIDELITIES = (0.0, 0.5, 1.0)
BASE, EXTRA, BATCH, CROP, LOW_SHARE, ROLLOUT_BATCH, BALANCE = 2400, 1200, 32, 32, 0.25, 16, 0.1
EACH, SIZE, DRAWS, EVALUATION_SEED = 24, 48, 4, 7
LABELS = {
    "input": "input", "off": "off", "more": "off, predictor trained on", "on_policy": "`on_policy`",
    "on_policy_all": "`on_policy`, all options", "posterior": "`posterior`", "forward": "`forward`", "eq51": "`eq51`, learned",
    "closed": "`eq51` as printed, no network", "regression": "regression",
}  # fmt: skip


def one_seed(seed: int, given: Namespace) -> dict[str, Any]:
    """One seed, all rows. Lists in the result have one entry a seed."""
    widths = {name: narrowed if name == "on_policy" else nullcontext for name in HEADS}
    base_steps, extra_steps, each = (6, 4, 2) if given.quick else (BASE, EXTRA, EACH)
    config, path, held_out, test = prepared(seed, each, SIZE, EVALUATION_SEED)

    def predictor(steps: int, rate: float, warmup: int) -> Stage:
        return Stage("predictor", steps, rate, BATCH, CROP, low=LOW_SHARE, balance=BALANCE, warmup=min(warmup, steps))

    base, further = predictor(base_steps, 8e-4, 100), predictor(extra_steps, 4e-4, 50)
    cost = {"base": multiply_adds(config, base, held_out)}
    heads = {}
    for name in HEADS:
        rolled = name.startswith("on_policy")
        target, batch = ("on_policy", ROLLOUT_BATCH) if rolled else (name, BATCH)
        stage = Stage("correction", 1, 6e-4, batch, CROP, target=target, balance=BALANCE, warmup=1)
        with widths[name]():
            cost[name] = multiply_adds(config, stage, held_out)
        steps = max(1, round(extra_steps * cost["base"] / cost[name]))
        heads[name] = replace(stage, steps=steps, warmup=min(50, steps))

    def measured(x: Any) -> dict[str, Any]:
        each_kind = {k: [pooled(x[:, test.of(k)], test.x[test.of(k)].expand_as(x[:, test.of(k)]))] for k in KINDS}
        return {**{k: [v] for k, v in quality(x, test.x).items()}, "kinds": each_kind}

    def evaluate(denoise: Any, noise: float) -> dict[str, list[float]]:
        count = DRAWS if noise < 1 else 1
        with fast():
            return measured(draws(denoise, test.y, path, count, seed=EVALUATION_SEED, fidelity=noise, batch=48))

    def dial(denoiser: Callable[[float], Any], noises: Sequence[float] = FIDELITIES) -> dict[str, Any]:
        return {f"{f:g}": evaluate(denoiser(f), f) for f in noises}

    rows: dict[str, Any] = {"input": measured(test.y[None])}

    def row(name: str, stages: list[Any], dial: dict[str, Any], paper: dict[str, Any] | None, own: str = "") -> None:
        last, alone = stages[-1], name in ("off", "regression")
        rows[name] = {
            "steps": sum(s.steps for s in stages),
            "multiply_adds": sum(s.steps * cost[own if s is last and own else "base"] for s in stages),
            "processor_seconds": [branches.seconds.get(name, 0.0) + (0.0 if alone else branches.seconds["off"])],
            "dial": dial,
            "paper": paper,
        }

    with tempfile.TemporaryDirectory() as work:
        branches = Branches(config, Path(work))
        learner = branches.train("off", [base])
        sizes = parameters(learner)
        off = model(learner, config, head=False)
        row("off", [base], dial(lambda f: off.denoiser(path, 0.0)), None)

        def printed(x_t: Any, y: Any, t: int) -> Any:
            x0 = off.predict(x_t, y, float(path.timestep[t]), 0.0)
            c = leverage(path, t, t - 1, path.ancestral(t, t - 1))
            return x0 - eq51(path, t, x_t, y, from_x0("residual_noise", path, t, x0, x_t, y)) / c

        row("closed", [base], {}, evaluate(printed, 0.0))

        def dialled(made: Any, target: str, f: float) -> Any:
            if target == "on_policy" or f in (0.0, 1.0):
                return made.denoiser(path, f)
            # Trained at f = 1 alone: its whole correction, times f.
            none, whole = made.denoiser(path, 0.0), made.denoiser(path, 1.0)
            return lambda x_t, y, t: (1 - f) * none(x_t, y, t) + f * whole(x_t, y, t)

        for name, stage in heads.items():
            with widths[name]():
                learner = branches.train(name, [stage], after="off")
            # The closed form leaves the range of images, and clamping it would be another method.
            made = model(learner, config, head=True, unbounded=name == "eq51")
            found = dial(partial(dialled, made, stage.target))
            row(name, [base, stage], found, evaluate(made.denoiser(path, 1.0), 0.0), own=name)

        more = model(branches.train("more", [further], after="off"), config, head=False)
        row("more", [base, further], dial(lambda f: more.denoiser(path, 0.0)), None)

        one_shot = [replace(s, kind="regression") for s in (base, further)]
        predict = model(branches.train("regression", one_shot), config, head=False).denoiser(path, 0.0)
        single = path.subset([0, path.steps])  # one evaluation, of the start's state without its noise
        with fast():
            x = draws(lambda x_t, y, t: predict(x_t, y, path.steps), test.y, single, 1, seed=0, fidelity=1.0, batch=48)
        row("regression", one_shot, {"1": measured(x)}, None)

    about = {
        "configuration": described(config),
        "parameters": sizes,
        "base": f"{base_steps} steps of {BATCH} crops of {CROP} px, a share {LOW_SHARE:g} of them half-size views of twice the side "
        f"with as many pixels in all, AdamW, peak rate {base.lr:g}, cosine; everywhere samples weighted by "
        f"c / (c + squared error of the input), c = {BALANCE:g}",
        "further": f"the multiply-adds (forward and backward) of {extra_steps} more such steps, peak rate {further.lr:g}; heads 6e-4",
        "heads": "the predictor frozen. posterior, forward, eq51: forward states of linear_pro(12), native. on_policy: rollouts at "
        f"random fidelity on linear_pro(12), ancestral, native, {ROLLOUT_BATCH} crops a step. on_policy_all: rollouts at random "
        "fidelity, grid, solver and resolution, as the shipped model is trained",
        "sampler": f"linear_pro(12), 5 ancestral steps, native resolution, {PRECISION}, noise scaled by 1 - fidelity",
        **measured_on(each, SIZE, EVALUATION_SEED, DRAWS, kinds=True),
        "multiply_adds": "of all training steps, convolutions and matrix products, counted by torch",
    }
    return {"protocol": protocol(given, **about), "seeds": [seed], "rows": rows}


def facts(result: dict[str, Any]) -> Facts:
    """What a page may quote: `off.one.0` (PSNR of one draw of row off at fidelity 0), `on_policy.paper.mean`, tables."""
    made = Facts()
    kinds = list(result["rows"]["input"]["kinds"])

    def put(prefix: str, suffix: str, numbers: dict[str, Any]) -> None:
        for key in ("one", "mean", "pooled_one", "pooled_mean"):
            made.put(f"{prefix}.{key}{suffix}", numbers[key])
        made.put(f"{prefix}.spread{suffix}", numbers["spread"], 1, 255)
        for kind in kinds:
            made.put(f"{prefix}.{kind}{suffix}", numbers["kinds"][kind])

    put("input", "", result["rows"]["input"])
    for name, row in result["rows"].items():
        for f, numbers in row.get("dial", {}).items():
            put(name, f".{f}", numbers)
        if row.get("paper"):
            put(f"{name}.paper", "", row["paper"])
        if "multiply_adds" in row:
            made[f"{name}.steps"] = str(row["steps"])
            made[f"{name}.multiply_adds"] = f"{row['multiply_adds'] / 1e12:.1f}"
            made.put(f"{name}.seconds", row["processor_seconds"], 0)
    for part in ("predictor", "head"):
        made[part] = f"{result['protocol']['parameters'][part] / 1e6:.2f} M"

    def lines(names: Sequence[str], *keys: str) -> list[list[str]]:
        return [[LABELS[name], *made.cells(*(f"{name}.{key}" for key in keys))] for name in names]

    rows = [k for k in LABELS if result["rows"][k].get("dial")]
    for name, one, average in (("pooled", "pooled_one", "pooled_mean"), ("averaged", "one", "mean")):
        columns = {f"one, f = {f:g}": f"{one}.{f:g}" for f in FIDELITIES}
        columns |= {f"mean of 4, f = {f:g}": f"{average}.{f:g}" for f in FIDELITIES[:2]}  # at f = 1 all draws are equal
        if name == "pooled":
            columns |= {f"spread, f = {f:g}": f"spread.{f:g}" for f in FIDELITIES[:2]}
        made[f"input.{one}.0"] = made[f"input.{one}"]
        made[f"table.{name}"] = table([f"PSNR, {name} (dB)", *columns], lines(["input", *rows], *columns.values()))
    made["table.kinds"] = table(
        ["PSNR, pooled (dB), one draw, f = 1", *kinds],
        [*lines(["input"], *kinds), *lines(rows, *(f"{kind}.1" for kind in kinds))],
    )
    paper = ("pooled_one", "pooled_mean", "one", "mean", "spread")
    made["table.paper"] = table(
        ["whole correction, whole noise", "pooled, one", "mean of 4", "averaged, one", "mean of 4", "spread"],
        [*lines(["off"], *(f"{k}.0" for k in paper)), *lines([*HEADS, "closed"], *(f"paper.{k}" for k in paper))],
    )
    trained = [k for k in LABELS if f"{k}.steps" in made and k != "closed"]
    head = ["training, base included", "steps", "10^12 multiply-adds", "processor s"]
    made["table.cost"] = table(head, lines(trained, "steps", "multiply_adds", "seconds"))
    return made


OPTIONS = {"--seed": SEED}


def measure(given: Namespace) -> dict[str, Any]:
    return over_seeds(given, SEEDS, one_seed)
