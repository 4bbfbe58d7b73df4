"""The three measurements behind the defaults of a model: fidelity, solver and grid, resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._ablation import KINDS as _GLOBAL
from benchmarks._sampling import PRECISION, TestSet, draws, fast, mean, native_share, psnrs, quality, simulated
from benchmarks._shared import Clock, shared_folder
from unveil.data.dataset import Photograph, crops
from unveil.diffusion import GaussianPath, cubic, linear_pro, residual
from unveil.diffusion.resolution import OFF, Resolution
from unveil.errors import ModelError
from unveil.evaluation.metrics.naturalness import naturalness
from unveil.evaluation.metrics.probabilistic import crps, ensemble_coverage
from unveil.models.model import Model
from unveil.training import config as configuration
from unveil.training.batches import Source

SEED = 23
FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
SOLVERS = ("ancestral", "ddim", "2m")
LOWS = (96, 128, 160, 224)
_EACH = {"haze": 4, "shadow": 3, "lowlight": 4, "noise": 4, "blur": 2, "jpeg": 2, "rain": 1}


def held_out(model: Model) -> Source:
    """What the model's own training kept back, by the rule in its recipe; never data/test."""
    return _source(model, held_out=True)


def trained_on(model: Model) -> Source:
    """The photographs and pairs that the model was trained on."""
    return _source(model, held_out=False)


def _source(model: Model, *, held_out: bool) -> Source:
    recipe = model.spec.recipe.get("config")
    if not recipe:
        raise SystemExit("benchmark: the model has no training recipe, so what it was not trained on is unknown")
    data = configuration.parse(recipe).data
    return Source(replace(data, root=str(shared_folder() / "data" / "train")), held_out=held_out)


def crops_of(source: Source, each: dict[str, int], pairs: int, size: int, seed: int = SEED) -> TestSet:
    """Simulated damage on held-out photographs of at least `size` pixels, and real pairs ("pair") where the damage shows."""
    large = [p for p in source.photos if min(p.clean.shape[:2]) >= size]
    parts = [simulated(large, [k], n, size, seed + i) for i, (k, n) in enumerate(each.items()) if n]
    for _, photographs in source.pairs:
        generator = np.random.default_rng([seed, size])
        for i in range(pairs):
            parts.append(TestSet(*most_damaged(photographs[i % len(photographs)], size, generator), ("pair",)))
    return TestSet(
        torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]), tuple(k for p in parts for k in p.kinds)
    )


def most_damaged(pair: Photograph, size: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Of eight random cuts of a pair the one that differs most: many cuts of a shadow photograph have no shadow."""
    x, y = crops([pair], 8, size, generator)
    assert y is not None
    worst = int((x - y).abs().mean((1, 2, 3)).argmax())
    return x[worst : worst + 1], y[worst : worst + 1]


def described(test: TestSet) -> str:
    counts = ", ".join(f"{len(test.of(k))} {k}" for k in dict.fromkeys(test.kinds))
    return f"{len(test.x)} crops of {test.x.shape[-1]} px of held-out photographs ({counts}), seed {SEED}"


def luma(x: Tensor) -> Tensor:
    return 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]


def gradient_energy(x: Tensor) -> Tensor:
    """(N,) mean squared difference of neighbouring pixels of the luma."""
    grey = luma(x)
    return (grey.diff(dim=-1) ** 2).mean((1, 2)) + (grey.diff(dim=-2) ** 2).mean((1, 2))


def sharpness(x: Tensor, target: Tensor) -> float:
    """Gradient energy against the target's, geometric mean over the images: under 1 is softer."""
    return float((gradient_energy(x) / gradient_energy(target)).log().mean().exp())


def natural(x: Tensor) -> float | None:
    """Mean naturalness score (lower is better); None where the package carries no parameters for it."""
    try:
        scores = [naturalness(image.permute(1, 2, 0).double().clamp(0, 1).numpy()) for image in x]
    except (FileNotFoundError, ModelError):
        return None
    return float(np.nanmean(scores))


def drawn(model: Model, test: TestSet, path: GaussianPath, count: int, **how: Any) -> tuple[Tensor, float]:
    """`count` draws of every photograph, and the processor seconds that they took."""
    clock = Clock()
    with fast():
        x = draws(model.denoiser(path, how.get("fidelity", 0.0)), test.y, path, count, seed=SEED, **how)
    return x, clock.processor


def fidelity(model: Model, source: Source, quick: bool) -> dict[str, Any]:
    """(a) Quality of one draw and of the mean of 4, spread and sharpness over the dial."""
    test = crops_of(source, dict.fromkeys(_EACH, 1) if quick else _EACH, 1 if quick else 6, 96 if quick else 320)
    path, d = model.spec.process(), model.spec.defaults
    at = Resolution(d.resolution, d.low, d.switch)
    rows = [
        {
            "label": "input",
            "one": mean(psnrs(test.y, test.x)),
            "sharpness": sharpness(test.y, test.x),
            "natural": natural(test.y),
            "target_natural": natural(test.x),
        }
    ]
    for f in FIDELITIES:
        x, seconds = drawn(model, test, path, 4 if f < 1 else 1, fidelity=f, solver=d.solver, resolution=at, batch=8)
        rows.append(
            {
                "label": f"{f:g}",
                "fidelity": f,
                **quality(x, test.x),
                "sharpness": sharpness(x[0], test.x),
                "sharpness_mean": sharpness(x.mean(dim=0), test.x),
                "natural": natural(x[0]),
                "natural_mean": natural(x.mean(dim=0)),
                "processor_seconds": seconds,
            }
        )
        print(f"  fidelity {f:g}: {rows[-1]['one']:.2f} dB, {seconds:.0f} s", flush=True)
    few = slice(0, len(test.x), 4)
    pair = []  # is half precision good enough to measure with?
    for precise in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            pair.append(draws(model.denoiser(path, 0.0), test.y[few], path, 1, seed=SEED, solver=d.solver, batch=8)[0])
    about = {
        "sampler": f"{d.grid}, {d.steps} steps, {d.solver}, {at.reading} (low stage {at.low} px), {PRECISION}; "
        f"head {'present' if model.head is not None else 'absent: the noise alone is scaled'}",
        "sharpness": "gradient energy of the luma against the target's, geometric mean over images, of one draw and of the mean of 4",
        "naturalness": "this package's naturalness score (lower is better), mean over images",
        "bf16_against_fp32": {
            "psnr_bf16": mean(psnrs(pair[0], test.x[few])),
            "psnr_fp32": mean(psnrs(pair[1], test.x[few])),
            "psnr_between": mean(psnrs(pair[0], pair[1])),
        },
    }
    return {"protocol": {"photographs": described(test), **about}, "rows": rows}


def solver(model: Model, source: Source, quick: bool) -> dict[str, Any]:
    """(b) Quality, spread, calibration and time of every solver on every grid, at fidelity 0."""
    count = 19  # the fewest that bound a central 90 % interval
    each = dict.fromkeys(_GLOBAL, 1) if quick else {"haze": 4, "shadow": 3, "lowlight": 4, "noise": 4, "jpeg": 1}
    test = crops_of(source, each, 1 if quick else 4, 32 if quick else 128)
    grids = {"linear_pro, 5": residual(linear_pro(12)), "cubic, 5": residual(cubic(5)), "cubic, 8": residual(cubic(8))}
    rows = []
    for label, path in grids.items():
        for name in SOLVERS:
            clock = Clock()
            x, seconds = drawn(model, test, path, count, solver=name, batch=len(test.x))
            wall, whole = clock.wall, quality(x, test.x)
            rows.append(
                {
                    "grid": label,
                    "solver": name,
                    "one": whole["one"],
                    "mean": quality(x[:4], test.x)["mean"],
                    "mean19": whole["mean"],
                    "spread": whole["spread"],
                    "crps": float(np.mean(crps(x, test.x))),
                    "coverage90": ensemble_coverage(x, test.x, [0.9])[0.9],
                    "sharpness": sharpness(x[0], test.x),
                    "natural": None,
                    "seconds_per_draw": seconds / (count * len(test.x)),
                    "wall_seconds": wall,
                }
            )
            found = f"{whole['one']:.2f} / {whole['mean']:.2f} dB, coverage {rows[-1]['coverage90']:.2f}"
            print(f"  {label} {name}: {found}, {seconds:.0f} s", flush=True)
    about = {
        "sampler": f"fidelity 0 (no head), native resolution, {PRECISION}",
        "coverage90": f"share of target values inside the central 90 % interval of {count} draws (type-6 quantiles), all pixels and "
        "channels of all crops; 0.9 is calibrated",
        "crps": f"fair estimator from {count} draws, full range = 1, lower is better",
        "seconds_per_draw": "processor time of one draw of one crop",
    }
    return {"protocol": {"photographs": described(test), **about}, "rows": rows}


def resolution(model: Model, source: Source, quick: bool) -> dict[str, Any]:
    """(c) DRM off, coarse to fine and hourglass; switch by residual or image; the size of the low stage."""
    size, count = (96, 2) if quick else (320, 2)
    each = dict.fromkeys(_GLOBAL, 1) if quick else {"haze": 5, "shadow": 4, "lowlight": 5, "noise": 4}
    test = crops_of(source, each, 1 if quick else 6, size)
    path, d = model.spec.process(), model.spec.defaults
    lows: Sequence[int] = (48,) if quick else LOWS
    settings = [OFF, *(Resolution("coarse_to_fine", low, s) for low in lows for s in ("residual", "image"))]
    settings += [Resolution("hourglass", d.low, s) for s in ("residual", "image")]
    rows = []
    for setting in settings:
        x, seconds = drawn(model, test, path, count, solver=d.solver, resolution=setting, batch=4)
        rows.append(
            {
                "reading": setting.reading,
                "switch": setting.switch if setting.reading != "off" else None,
                "low": setting.low if setting.reading == "coarse_to_fine" else None,
                **quality(x, test.x),
                "sharpness": sharpness(x[0], test.x),
                "kinds": {k: quality(x[:, test.of(k)], test.x[test.of(k)])["one"] for k in dict.fromkeys(test.kinds)},
                "pixels": native_share(setting, path, size),
                "seconds_per_draw": seconds / (count * len(test.x)),
            }
        )
        named = f"{setting.reading} {setting.low} {setting.switch}"
        print(f"  {named}: {rows[-1]['one']:.2f} dB, {seconds:.0f} s", flush=True)
    about = {
        "sampler": f"{d.grid}, {d.steps} steps, {d.solver}, fidelity 0 (no head), {PRECISION}, {count} draws",
        "pixels": "network pixels of all evaluations against all native",
        "kinds": "PSNR of one draw for each kind of damage",
        "seconds_per_draw": "processor time of one draw of one crop",
    }
    return {"protocol": {"photographs": described(test), **about}, "rows": rows}
