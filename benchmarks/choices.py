"""What a model's defaults rest on: the curve over fidelity, solver and grid, dynamic resolution. On held-out photographs.

    python -m benchmarks choices --model general --json benchmarks/results/choices.json
    python -m benchmarks choices --model runs/mine --part solver --json mine.json

A part that is measured again replaces itself in the JSON file; the others stay if they are of the same model.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._choices import SEED, crops_of, described, source_of
from benchmarks._pages import Facts
from benchmarks._sampling import PRECISION, TestSet, draws, fast, mean, native_share, psnrs, quality
from benchmarks._shared import MODEL, Clock, earlier, protocol, shared_folder, table
from unveil.diffusion import GaussianPath, cubic, linear_pro, residual
from unveil.diffusion.resolution import OFF, Resolution
from unveil.evaluation.metrics.naturalness import naturalness
from unveil.evaluation.metrics.probabilistic import crps, ensemble_coverage
from unveil.models import shelf
from unveil.models.model import Model
from unveil.training.batches import Source

KINDS = ("haze", "shadow", "lowlight", "noise")
FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
SOLVERS = ("ancestral", "ddim", "2m")
LOWS = (96, 128, 160, 224)
EACH = {"haze": 4, "shadow": 3, "lowlight": 4, "noise": 4, "blur": 2, "jpeg": 2, "rain": 1}
UNITS = {
    "one": (2, 1), "mean": (2, 1), "mean19": (2, 1), "spread": (1, 255), "sharpness": (2, 1), "sharpness_mean": (2, 1),
    "natural": (2, 1), "natural_mean": (2, 1), "target_natural": (2, 1), "crps": (2, 255), "coverage90": (0, 100),
    "seconds_per_draw": (3, 1),
}  # fmt: skip
"""Number -> decimals and factor of its unit on the page."""


def gradient_energy(x: Tensor) -> Tensor:
    """(N,) mean squared difference of neighbouring pixels of the luma."""
    grey = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    return (grey.diff(dim=-1) ** 2).mean((1, 2)) + (grey.diff(dim=-2) ** 2).mean((1, 2))


def sharpness(x: Tensor, target: Tensor) -> float:
    """Gradient energy against the target's, geometric mean over the images: under 1 is softer."""
    return float((gradient_energy(x) / gradient_energy(target)).log().mean().exp())


def natural(x: Tensor) -> float:
    """Mean naturalness score; lower is better."""
    return float(np.nanmean([naturalness(image.permute(1, 2, 0).double().clamp(0, 1).numpy()) for image in x]))


def drawn(model: Model, test: TestSet, path: GaussianPath, count: int, **how: Any) -> tuple[Tensor, float]:
    """`count` draws of every photograph, and the processor seconds that they took."""
    clock = Clock()
    with fast():
        x = draws(model.denoiser(path, how.get("fidelity", 0.0)), test.y, path, count, seed=SEED, **how)
    return x, clock.processor


def fidelity(model: Model, source: Source, quick: bool) -> dict[str, Any]:
    """(a) Quality of one draw and of the mean of 4, spread and sharpness over the dial."""
    test = crops_of(source, dict.fromkeys(EACH, 1) if quick else EACH, 1 if quick else 6, 96 if quick else 320)
    path, d = model.spec.process(), model.spec.defaults
    at = Resolution(d.resolution, d.low, d.switch)
    rows: list[dict[str, Any]] = [
        {
            "label": "input", "one": mean(psnrs(test.y, test.x)), "sharpness": sharpness(test.y, test.x),
            "natural": natural(test.y), "target_natural": natural(test.x),
        }
    ]  # fmt: skip
    for f in FIDELITIES:
        x, seconds = drawn(model, test, path, 4 if f < 1 else 1, fidelity=f, solver=d.solver, resolution=at, batch=8)
        row: dict[str, Any] = {"label": f"{f:g}", "fidelity": f, **quality(x, test.x), "processor_seconds": seconds}
        for suffix, shown in (("", x[0]), ("_mean", x.mean(dim=0))):
            row |= {f"sharpness{suffix}": sharpness(shown, test.x), f"natural{suffix}": natural(shown)}
        rows.append(row)
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
    each = dict.fromkeys(KINDS, 1) if quick else {"haze": 4, "shadow": 3, "lowlight": 4, "noise": 4, "jpeg": 1}
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
                    "grid": label, "solver": name, "one": whole["one"], "mean": quality(x[:4], test.x)["mean"], "mean19": whole["mean"],
                    "spread": whole["spread"], "crps": float(np.mean(crps(x, test.x))),
                    "coverage90": ensemble_coverage(x, test.x, [0.9])[0.9], "sharpness": sharpness(x[0], test.x), "natural": None,
                    "seconds_per_draw": seconds / (count * len(test.x)), "wall_seconds": wall,
                }
            )  # fmt: skip
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
    each = dict.fromkeys(KINDS, 1) if quick else {"haze": 5, "shadow": 4, "lowlight": 5, "noise": 4}
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
                "reading": setting.reading, "switch": setting.switch if setting.reading != "off" else None,
                "low": setting.low if setting.reading == "coarse_to_fine" else None, **quality(x, test.x),
                "sharpness": sharpness(x[0], test.x),
                "kinds": {k: quality(x[:, test.of(k)], test.x[test.of(k)])["one"] for k in dict.fromkeys(test.kinds)},
                "pixels": native_share(setting, path, size), "seconds_per_draw": seconds / (count * len(test.x)),
            }
        )  # fmt: skip
        named = f"{setting.reading} {setting.low} {setting.switch}"
        print(f"  {named}: {rows[-1]['one']:.2f} dB, {seconds:.0f} s", flush=True)
    about = {
        "sampler": f"{d.grid}, {d.steps} steps, {d.solver}, fidelity 0 (no head), {PRECISION}, {count} draws",
        "pixels": "network pixels of all evaluations against all native",
        "kinds": "PSNR of one draw for each kind of damage",
        "seconds_per_draw": "processor time of one draw of one crop",
    }
    return {"protocol": {"photographs": described(test), **about}, "rows": rows}


PARTS: dict[str, Callable[[Model, Source, bool], dict[str, Any]]] = {
    "fidelity": fidelity, "solver": solver, "resolution": resolution,
}  # fmt: skip


def measure(given: Namespace) -> dict[str, Any]:
    shared_folder()
    model = shelf.load(given.model)
    if model.spec.sampler != "diffusion":
        raise SystemExit(
            f"benchmark: {given.model} is a one-shot network; it has no fidelity, solver or resolution to choose"
        )
    model.to(torch.device("cpu"))
    source = source_of(model)
    found: dict[str, Any] = {}
    for part in given.part:
        clock = Clock()
        found[part] = PARTS[part](model, source, given.quick)
        found[part]["processor_seconds"] = clock.processor
        print(f"{part}: {clock.processor:.0f} s of processor time, {clock.wall:.0f} s in all", flush=True)
    about = {
        "model": model.spec.name,
        "sha256": model.sha256,
        "steps_trained": model.spec.recipe.get("steps_done"),
        "psnr": "dB, RGB, full frame, clipped to [0, 1], averaged over images (one: and over the draws; mean: of the mean of "
        "the draws, 4 unless said otherwise)",
        "spread": "root mean square over images and pixels of the draws' unbiased standard deviation, full range = 1",
    }
    own = protocol(given, **about)
    return {**earlier(given.json, own), "protocol": own, **found}


def facts(result: dict[str, Any]) -> Facts:
    """What a page may quote: `fidelity.0.5.one`, `solver.cubic_5.2m.crps`, `resolution.coarse_to_fine.160.image.one`, tables."""
    made = Facts(model=f"{result['protocol']['model']} (sha256 {result['protocol']['sha256'][:12]})")

    def cells(prefix: str, row: dict[str, Any], *keys: str) -> list[str]:
        for key, (digits, scale) in UNITS.items():
            if row.get(key) is not None:
                made.put(f"{prefix}.{key}", row[key], digits, scale)
        return made.cells(*(f"{prefix}.{key}" for key in keys))

    parts = {part: result[part]["rows"] for part in PARTS if part in result}
    for part in parts:
        made[f"{part}.photographs"] = result[part]["protocol"]["photographs"]
    if "fidelity" in parts:
        keys = ("one", "mean", "spread", "sharpness", "sharpness_mean", "natural", "natural_mean")
        body = [[row["label"], *cells(f"fidelity.{row['label']}", row, *keys)] for row in parts["fidelity"]]
        made["table.fidelity"] = table(
            ["fidelity", "one draw (dB)", "mean of 4 (dB)", "spread (of 255)", "sharpness, one", "sharpness, mean", "naturalness, one",
             "naturalness, mean"],
            [*body, ["target", "", "", "", "1.00", "", *made.cells("fidelity.input.target_natural"), ""]],
        )  # fmt: skip
    if "solver" in parts:
        keys = ("one", "mean", "mean19", "spread", "crps", "coverage90", "sharpness", "seconds_per_draw")
        body = []
        for row in parts["solver"]:
            name = f"solver.{row['grid'].replace(', ', '_')}.{row['solver']}"
            body.append([f"{row['grid']}, {row['solver']}", *cells(name, row, *keys)])
        head = [
            "grid and steps, solver",
            "one draw (dB)",
            "mean of 4",
            "mean of 19",
            "spread (of 255)",
            "CRPS (of 255)",
        ]
        made["table.solver"] = table([*head, "coverage of 90 % (%)", "sharpness", "s a draw"], body)
    if "resolution" in parts:
        kinds, body = list(parts["resolution"][0]["kinds"]), []
        for row in parts["resolution"]:
            how = (row["reading"], row["low"], row["switch"])
            name = "resolution." + ".".join(str(v) for v in how if v is not None)
            label = [row["reading"].replace("_", " "), row["low"] and f"low {row['low']}", row["switch"]]
            numbers = cells(name, row, "one", "mean", "spread", "sharpness")
            by_kind = [made.put(f"{name}.{kind}", row["kinds"][kind]) for kind in kinds]
            cost = [f"{100 * row['pixels']:.0f} %", *made.cells(f"{name}.seconds_per_draw")]
            body.append([", ".join(filter(None, label)), *numbers, *by_kind, *cost])
        head = ["reading, low stage, switch", "one draw (dB)", "mean of 2", "spread (of 255)", "sharpness", *kinds]
        made["table.resolution"] = table([*head, "pixels", "s a draw"], body)
    return made


OPTIONS = {"--model": MODEL, "--part": (PARTS, "", PARTS)}
