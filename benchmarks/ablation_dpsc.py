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
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._pages import Value
from benchmarks._shared import ablation, environment, seeded_options, shared_folder, table

NAME = "ablation_dpsc"
SEEDS = (0, 1, 2)
TABLES = ("table.pooled", "table.averaged", "table.kinds", "table.paper", "table.cost")
HEADS = ("on_policy", "on_policy_all", "posterior", "forward", "eq51")
FIDELITIES = (0.0, 0.5, 1.0)
BASE, EXTRA, BATCH, CROP, LOW_SHARE, ROLLOUT_BATCH, BALANCE = 2400, 1200, 32, 32, 0.25, 16, 0.1
EACH, SIZE, DRAWS, EVALUATION_SEED = 24, 48, 4, 7
LABELS = {
    "input": "input",
    "off": "off",
    "more": "off, predictor trained on",
    "on_policy": "`on_policy`",
    "on_policy_all": "`on_policy`, all options",
    "posterior": "`posterior`",
    "forward": "`forward`",
    "eq51": "`eq51`, learned",
    "closed": "`eq51` as printed, no network",
    "regression": "regression",
}


def measure(seed: int, quick: bool, length: float = 1.0) -> dict[str, Any]:
    """One seed, all rows. Lists in the result have one entry a seed."""
    from benchmarks._ablation import KINDS, Branches, base_config, described, model, multiply_adds, narrowed, parameters
    from benchmarks._sampling import PRECISION, draws, fast, pooled, quality, simulated
    from unveil.diffusion import linear_pro, residual
    from unveil.diffusion.correction import eq51, leverage
    from unveil.diffusion.prediction import from_x0
    from unveil.training.batches import Source
    from unveil.training.settings import Stage

    widths = {name: narrowed if name == "on_policy" else nullcontext for name in HEADS}
    base_steps, extra_steps, each = (6, 4, 2) if quick else (round(BASE * length), round(EXTRA * length), EACH)
    data = shared_folder() / "data" / "train"
    config = base_config(data, seed)
    process = residual(linear_pro(config.steps))
    held_out = Source(config.data, held_out=True)
    test = simulated(held_out.photos, KINDS, each, SIZE, EVALUATION_SEED)

    base = Stage(
        "predictor", base_steps, 8e-4, BATCH, CROP, low=LOW_SHARE, balance=BALANCE, warmup=min(100, base_steps)
    )
    further = Stage(
        "predictor", extra_steps, 4e-4, BATCH, CROP, low=LOW_SHARE, balance=BALANCE, warmup=min(50, extra_steps)
    )
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

    def evaluate(denoise: Any, noise: float) -> dict[str, list[float]]:
        with fast():
            x = draws(
                denoise, test.y, process, DRAWS if noise < 1 else 1, seed=EVALUATION_SEED, fidelity=noise, batch=48
            )
        return measured(x)

    def measured(x: Any) -> dict[str, Any]:
        each_kind = {k: [pooled(x[:, test.of(k)], test.x[test.of(k)].expand_as(x[:, test.of(k)]))] for k in KINDS}
        return {**{k: [v] for k, v in quality(x, test.x).items()}, "kinds": each_kind}

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
        row("off", [base], {f"{f:g}": evaluate(off.denoiser(process, 0.0), f) for f in FIDELITIES}, None)

        def printed(x_t: Any, y: Any, t: int) -> Any:
            x0 = off.predict(x_t, y, float(process.timestep[t]), 0.0)
            c = leverage(process, t, t - 1, process.ancestral(t, t - 1))
            return x0 - eq51(process, t, x_t, y, from_x0("residual_noise", process, t, x0, x_t, y)) / c

        row("closed", [base], {}, evaluate(printed, 0.0))

        for name, stage in heads.items():
            with widths[name]():
                learner = branches.train(name, [stage], after="off")
            # The closed form leaves the range of images, and clamping it would be another method.
            made = model(learner, config, head=True, unbounded=name == "eq51")

            def dialled(f: float, made: Any = made, target: str = stage.target) -> Any:
                if target == "on_policy" or f in (0.0, 1.0):
                    return made.denoiser(process, f)
                # Trained at f = 1 alone: its whole correction, times f.
                none, whole = made.denoiser(process, 0.0), made.denoiser(process, 1.0)
                return lambda x_t, y, t: (1 - f) * none(x_t, y, t) + f * whole(x_t, y, t)

            row(
                name,
                [base, stage],
                {f"{f:g}": evaluate(dialled(f), f) for f in FIDELITIES},
                evaluate(made.denoiser(process, 1.0), 0.0),
                own=name,
            )

        made = model(branches.train("more", [further], after="off"), config, head=False)
        row("more", [base, further], {f"{f:g}": evaluate(made.denoiser(process, 0.0), f) for f in FIDELITIES}, None)

        one_shot = [replace(s, kind="regression") for s in (base, further)]
        made = model(branches.train("regression", one_shot), config, head=False)
        predict = made.denoiser(process, 0.0)
        single = process.subset([0, process.steps])  # one evaluation, of the start's state without its noise
        with fast():
            x = draws(
                lambda x_t, y, t: predict(x_t, y, process.steps), test.y, single, 1, seed=0, fidelity=1.0, batch=48
            )
        row("regression", one_shot, {"1": measured(x)}, None)

    return {
        "benchmark": NAME,
        "protocol": {
            **environment(),
            "quick": quick,
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
            "photographs": "crops of held-out photographs of BSDS500 and SunHays80 (every 17th name), "
            f"{each} crops of {SIZE} px for each of {', '.join(KINDS)} at random severity, rounded to 8 bits; seed {EVALUATION_SEED}",
            "psnr": "dB, RGB, float against 8-bit target, full frame, clipped to [0, 1]. one, mean: averaged over images, of one draw "
            f"(mean over {DRAWS}) and of the mean of {DRAWS} draws. pooled_one, pooled_mean, kinds: of the squared error over all images "
            "(of all kinds, of one kind)",
            "spread": "root mean square over images and pixels of the draws' unbiased standard deviation, full range = 1",
            "multiply_adds": "of all training steps, convolutions and matrix products, counted by torch",
        },
        "seeds": [seed],
        "rows": rows,
    }


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """What a page may quote: `off.one.0` (PSNR of one draw of row off at fidelity 0), `on_policy.paper.mean`, tables."""
    made: dict[str, Value | str] = {}
    kinds = list(result["rows"]["input"]["kinds"])

    def put(prefix: str, suffix: str, numbers: dict[str, Any]) -> None:
        for key in ("one", "mean", "pooled_one", "pooled_mean"):
            made[f"{prefix}.{key}{suffix}"] = Value(numbers[key])
        made[f"{prefix}.spread{suffix}"] = Value([255 * v for v in numbers["spread"]], 1)
        for kind in kinds:
            made[f"{prefix}.{kind}{suffix}"] = Value(numbers["kinds"][kind])

    put("input", "", result["rows"]["input"])
    for name, row in result["rows"].items():
        for f, numbers in row.get("dial", {}).items():
            put(name, f".{f}", numbers)
        if row.get("paper"):
            put(f"{name}.paper", "", row["paper"])
        if "multiply_adds" in row:
            made[f"{name}.steps"] = str(row["steps"])
            made[f"{name}.multiply_adds"] = f"{row['multiply_adds'] / 1e12:.1f}"
            made[f"{name}.seconds"] = Value(row["processor_seconds"], 0)
    made["seeds"] = str(len(result["seeds"]))
    made["predictor"] = f"{result['protocol']['parameters']['predictor'] / 1e6:.2f} M"
    made["head"] = f"{result['protocol']['parameters']['head'] / 1e6:.2f} M"

    def cell(key: str) -> str:
        return str(made[key]) if key in made else ""

    def cells(row: str, fidelities: tuple[float, ...], key: str) -> list[str]:
        return [cell(f"{row}.{key}.{f:g}") for f in fidelities]

    drawn = FIDELITIES[:2]  # at f = 1 all draws are equal
    dial = [k for k in LABELS if result["rows"][k].get("dial")]
    for name, one, average in (("pooled", "pooled_one", "pooled_mean"), ("averaged", "one", "mean")):
        shown = (("one", one, FIDELITIES), ("mean of 4", average, drawn), ("spread", "spread", drawn))
        shown = shown if name == "pooled" else shown[:2]
        made[f"table.{name}"] = table(
            [f"PSNR, {name} (dB)", *[f"{title}, f = {f:g}" for title, _, fidelities in shown for f in fidelities]],
            [["input", cell(f"input.{one}"), *[""] * (sum(len(s[2]) for s in shown) - 1)]]
            + [
                [LABELS[k], *[text for _, key, fidelities in shown for text in cells(k, fidelities, key)]] for k in dial
            ],
        )
    made["table.kinds"] = table(
        ["PSNR, pooled (dB), one draw, f = 1", *kinds],
        [["input", *[cell(f"input.{kind}") for kind in kinds]]]
        + [[LABELS[k], *[cell(f"{k}.{kind}.1") for kind in kinds]] for k in dial],
    )
    paper = ("pooled_one", "pooled_mean", "one", "mean", "spread")
    made["table.paper"] = table(
        ["whole correction, whole noise", "pooled, one", "mean of 4", "averaged, one", "mean of 4", "spread"],
        [["off", *[cell(f"off.{key}.0") for key in paper]]]
        + [[LABELS[k], *[cell(f"{k}.paper.{key}") for key in paper]] for k in (*HEADS, "closed")],
    )
    trained = [k for k in LABELS if f"{k}.steps" in made and k != "closed"]
    made["table.cost"] = table(
        ["training, base included", "steps", "10^12 multiply-adds", "processor s"],
        [[LABELS[k], *[cell(f"{k}.{key}") for key in ("steps", "multiply_adds", "seconds")]] for k in trained],
    )
    return made


def report(result: dict[str, Any]) -> str:
    """The tables of a whole result."""
    found = facts(result)
    return "\n\n".join(str(found[k]) for k in TABLES)


arguments = seeded_options


def main(given: Namespace) -> None:
    ablation(given, SEEDS, measure, report)
