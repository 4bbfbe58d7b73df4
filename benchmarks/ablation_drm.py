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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._ablation import KINDS, Branches, described, measured_on, model, parameters, prepared
from benchmarks._pages import Facts
from benchmarks._sampling import PRECISION, draws, fast, mean, native_share, psnrs, quality
from benchmarks._shared import SEED, Clock, over_seeds, protocol, table
from unveil.diffusion.resolution import OFF, Resolution
from unveil.training.settings import Stage

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


def one_seed(seed: int, given: Namespace) -> dict[str, Any]:
    """One seed, all rows. Lists in the result have one entry a seed."""
    steps, each = (6, 1) if given.quick else (STEPS, EACH)
    config, path, _, test = prepared(seed, each, SIZE, EVALUATION_SEED, large=True)
    native = Stage("predictor", steps, 8e-4, BATCH, CROP, balance=BALANCE, warmup=min(100, steps))
    views = replace(native, low=LOW_SHARE, switch=SWITCH_SHARE)

    def evaluate(made: Any, resolution: Any) -> dict[str, Any]:
        clock, noise = Clock(), {"seed": EVALUATION_SEED, "resolution": resolution, "batch": 8}
        with fast():
            x = draws(made.denoiser(path, 0.0), test.y, path, DRAWS, **noise)
        seconds = clock.processor / (DRAWS * len(test.y))
        kinds = {k: {name: [v] for name, v in quality(x[:, test.of(k)], test.x[test.of(k)]).items()} for k in KINDS}
        whole = {name: [v] for name, v in quality(x, test.x).items()}
        return {**whole, "kinds": kinds, "seconds_per_draw": [seconds], "pixels": native_share(resolution, path, SIZE)}

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

    inputs = {k: [mean(psnrs(test.y[test.of(k)], test.x[test.of(k)]))] for k in KINDS}
    everything = quality(test.y[None], test.x)
    about = {
        "configuration": described(config),
        "parameters": {"predictor": sizes["predictor"]},
        "training": f"{steps} steps of {BATCH} crops of {CROP} px, AdamW, peak rate {views.lr:g}, cosine; samples weighted by "
        f"c / (c + squared error of the input), c = {BALANCE:g}; with reduced views: a share "
        f"{LOW_SHARE} of the batches are half-size views of {4 * CROP} px cuts with as many pixels in all, a share {SWITCH_SHARE} "
        "of native states below noise level 0.6 built as after the switch by residual",
        "sampler": f"linear_pro(12), 5 ancestral steps, fidelity 0, no head, {PRECISION}; coarse to fine: low stage {LOW} px",
        **measured_on(each, SIZE, EVALUATION_SEED, DRAWS, kinds=False),
        "pixels": "network pixels of the five evaluations against five native ones",
        "seconds_per_draw": "processor time of one draw of one crop",
    }
    return {
        "protocol": protocol(given, **about),
        "seeds": [seed],
        "input": {"psnr": [everything["one"]], "pooled": [everything["pooled_one"]], "kinds": inputs},
        "processor_seconds": {k: [v] for k, v in branches.seconds.items()},
        "rows": rows,
    }


def facts(result: dict[str, Any]) -> Facts:
    """What a page may quote: `off.one`, `coarse_to_fine.residual.mean`, `predictor`, tables."""
    made = Facts(predictor=f"{result['protocol']['parameters']['predictor'] / 1e6:.2f} M")
    made.put("input.one", result["input"]["psnr"])
    made.put("input.pooled_one", result["input"]["pooled"])
    kinds, keys = list(result["input"]["kinds"]), ("one", "mean", "pooled_one", "pooled_mean", "spread", "pixels")
    for k in kinds:
        made.put(f"input.{k}", result["input"]["kinds"][k])
    for name, row in result["rows"].items():
        for key in keys[:4]:
            made.put(f"{name}.{key}", row[key])
        made.put(f"{name}.spread", row["spread"], 1, 255)
        made[f"{name}.pixels"] = f"{100 * row['pixels']:.0f} %"
        for k in kinds:
            made.put(f"{name}.{k}", row["kinds"][k]["mean"])
    rows = {"input": "input", **LABELS}

    def lines(columns: Sequence[str]) -> list[list[str]]:
        return [[title, *made.cells(*(f"{name}.{key}" for key in columns))] for name, title in rows.items()]

    head = ["PSNR (dB)", "one draw", "mean of 4", "pooled, one", "pooled, mean", "spread (of 255)", "pixels"]
    made["table.rows"] = table(head, lines(keys))
    made["table.kinds"] = table(["mean of 4 draws (dB)", *kinds], lines(kinds))
    return made


OPTIONS = {"--seed": SEED}


def measure(given: Namespace) -> dict[str, Any]:
    return over_seeds(given, SEEDS, one_seed)
