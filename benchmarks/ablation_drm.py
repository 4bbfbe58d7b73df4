"""DRM: dynamic resolution off, coarse to fine and hourglass, each with three switches; small networks, held-out photographs.

    python -m benchmarks ablation_drm --json benchmarks/results/ablation_drm.json               seeds 0, 1 and 2 in a row
    python -m benchmarks ablation_drm --seed 1 --json drm_1.json                                one seed (several processes)
    python -m benchmarks ablation_drm --merge drm_*.json --json benchmarks/results/ablation_drm.json

Two networks a seed, trained on equally many pixels: one on native crops alone, one with a share of reduced views and of
states as they are after the switch. All rows but the first use the second. Crops, damage and noise are the same for all.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks._pages import Value
from benchmarks._shared import Clock, ablation, environment, seeded_options, shared_folder, table

NAME = "ablation_drm"
SEEDS = (0, 1, 2)
STEPS, BATCH, CROP, LOW_SHARE, SWITCH_SHARE, BALANCE = 2400, 16, 48, 0.4, 0.3, 0.1
EACH, SIZE, LOW, DRAWS, EVALUATION_SEED = 8, 192, 64, 4, 11
SWITCHES = ("residual", "image", "state")
LABELS = {
    "native": "off, trained on native views alone",
    "off": "off",
    **{f"coarse_to_fine.{s}": f"coarse to fine, switch by {s}" for s in SWITCHES},
    **{f"hourglass.{s}": f"hourglass, switch by {s}" for s in SWITCHES},
}


def measure(seed: int, quick: bool, length: float = 1.0) -> dict[str, Any]:
    """One seed, all rows. Lists in the result have one entry a seed."""
    from benchmarks._ablation import KINDS, Branches, base_config, described, model, parameters
    from benchmarks._sampling import PRECISION, draws, fast, psnrs, quality, simulated
    from benchmarks._sampling import mean as average
    from unveil.diffusion import linear_pro, residual
    from unveil.diffusion.resolution import OFF, Resolution
    from unveil.training.batches import Source
    from unveil.training.settings import Stage

    steps, each = (6, 1) if quick else (round(STEPS * length), EACH)
    data = shared_folder() / "data" / "train"
    config = base_config(data, seed)
    process = residual(linear_pro(config.steps))
    held_out = Source(config.data, held_out=True)
    # Photographs and half-size copies that fill the crop without a mirrored edge.
    large = [p for p in held_out.photos if min(p.clean.shape[:2]) >= SIZE]
    test = simulated(large, KINDS, each, SIZE, EVALUATION_SEED)

    native = Stage("predictor", steps, 8e-4, BATCH, CROP, balance=BALANCE, warmup=min(100, steps))
    views = Stage(
        "predictor",
        steps,
        8e-4,
        BATCH,
        CROP,
        low=LOW_SHARE,
        switch=SWITCH_SHARE,
        balance=BALANCE,
        warmup=min(100, steps),
    )

    def evaluate(made: Any, resolution: Any) -> dict[str, Any]:
        clock = Clock()
        with fast():
            x = draws(
                made.denoiser(process, 0.0),
                test.y,
                process,
                DRAWS,
                seed=EVALUATION_SEED,
                resolution=resolution,
                batch=8,
            )
        seconds = clock.processor / (DRAWS * len(test.y))
        pixels = sum(h * w for h, w in resolution.sizes(process.steps, (SIZE, SIZE))) / (process.steps * SIZE**2)
        kinds = {k: {name: [v] for name, v in quality(x[:, test.of(k)], test.x[test.of(k)]).items()} for k in KINDS}
        whole = {name: [v] for name, v in quality(x, test.x).items()}
        return {**whole, "kinds": kinds, "seconds_per_draw": [seconds], "pixels": pixels}

    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        branches = Branches(config, Path(work))
        learner = branches.train("native", [native])
        sizes = parameters(learner)
        rows["native"] = evaluate(model(learner, config, head=False), OFF)
        made = model(branches.train("views", [views]), config, head=False)
        rows["off"] = evaluate(made, OFF)
        for reading in ("coarse_to_fine", "hourglass"):
            for switch in SWITCHES:
                rows[f"{reading}.{switch}"] = evaluate(made, Resolution(reading, LOW, switch))
        seconds = {k: [v] for k, v in branches.seconds.items()}

    inputs = {k: [average(psnrs(test.y[test.of(k)], test.x[test.of(k)]))] for k in KINDS}
    everything = quality(test.y[None], test.x)
    return {
        "benchmark": NAME,
        "protocol": {
            **environment(),
            "quick": quick,
            "configuration": described(config),
            "parameters": {"predictor": sizes["predictor"]},
            "training": f"{steps} steps of {BATCH} crops of {CROP} px, AdamW, peak rate {views.lr:g}, cosine; samples weighted by "
            f"c / (c + squared error of the input), c = {BALANCE:g}; with reduced views: a share "
            f"{LOW_SHARE} of the batches are half-size views of {4 * CROP} px cuts with as many pixels in all, a share {SWITCH_SHARE} "
            "of native states below noise level 0.6 built as after the switch by residual",
            "sampler": f"linear_pro(12), 5 ancestral steps, fidelity 0, no head, {PRECISION}; coarse to fine: low stage {LOW} px",
            "photographs": "crops of held-out photographs of BSDS500 and SunHays80 (every 17th name), "
            f"{each} crops of {SIZE} px for each of {', '.join(KINDS)} at random severity, rounded to 8 bits; seed {EVALUATION_SEED}",
            "psnr": "dB, RGB, float against 8-bit target, full frame, clipped to [0, 1]. one, mean: averaged over images, of one draw "
            f"(mean over {DRAWS}) and of the mean of {DRAWS} draws. pooled_one, pooled_mean: of the squared error over all images",
            "spread": "root mean square over images and pixels of the draws' unbiased standard deviation, full range = 1",
            "pixels": "network pixels of the five evaluations against five native ones",
            "seconds_per_draw": "processor time of one draw of one crop",
        },
        "seeds": [seed],
        "input": {"psnr": [everything["one"]], "pooled": [everything["pooled_one"]], "kinds": inputs},
        "processor_seconds": seconds,
        "rows": rows,
    }


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """What a page may quote: `off.one`, `coarse_to_fine.residual.mean`, `coarse_to_fine.image.noise.one`, tables."""
    made: dict[str, Value | str] = {
        "input": Value(result["input"]["psnr"]),
        "input.pooled": Value(result["input"]["pooled"]),
    }
    units = {"one": (2, 1.0), "mean": (2, 1.0), "pooled_one": (2, 1.0), "pooled_mean": (2, 1.0), "spread": (1, 255.0)}
    kinds = list(result["input"]["kinds"])
    for k in kinds:
        made[f"input.{k}"] = Value(result["input"]["kinds"][k])
    for name, row in result["rows"].items():
        for key, (digits, scale) in units.items():
            made[f"{name}.{key}"] = Value([v * scale for v in row[key]], digits)
            for k in kinds:
                made[f"{name}.{k}.{key}"] = Value([v * scale for v in row["kinds"][k][key]], digits)
        made[f"{name}.pixels"] = f"{100 * row['pixels']:.0f} %"
        made[f"{name}.seconds"] = Value(row["seconds_per_draw"], 3)
    for name, values in result["processor_seconds"].items():
        made[f"training.{name}.seconds"] = Value(values, 0)
    made["seeds"] = str(len(result["seeds"]))
    made["predictor"] = f"{result['protocol']['parameters']['predictor'] / 1e6:.2f} M"
    keys = ("one", "mean", "pooled_one", "pooled_mean", "spread", "pixels")
    made["table.rows"] = table(
        ["PSNR (dB)", "one draw", "mean of 4", "pooled, one", "pooled, mean", "spread (of 255)", "pixels"],
        [["input", str(made["input"]), "", str(made["input.pooled"]), "", "", ""]]
        + [[LABELS[k], *[str(made[f"{k}.{key}"]) for key in keys]] for k in LABELS],
    )
    made["table.kinds"] = table(
        ["mean of 4 draws (dB)", *kinds],
        [["input", *[str(made[f"input.{k}"]) for k in kinds]]]
        + [[LABELS[name], *[str(made[f"{name}.{k}.mean"]) for k in kinds]] for name in LABELS],
    )
    return made


def report(result: dict[str, Any]) -> str:
    """The tables of a whole result."""
    found = facts(result)
    return "\n\n".join(str(found[k]) for k in ("table.rows", "table.kinds"))


arguments = seeded_options


def main(given: Namespace) -> None:
    ablation(given, SEEDS, measure, report)
