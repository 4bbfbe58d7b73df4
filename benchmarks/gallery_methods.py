"""Every method on the photographs that ship with the package, on one sheet: a row a method, a column a kind of damage.

    python -m benchmarks gallery_methods --json benchmarks/results/gallery_methods.json

Writes docs/img/methods.jpg and the PSNR of every picture on it, in about three minutes of one core. Zero-shot methods take the shipped
priors and the few steps of `zeroshot_quality.py` (DiffPIR its own hundred); those that want an
operator are left out where nobody could tell them one.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from benchmarks._shared import PICTURES, Clock, protocol, table
from benchmarks.gallery import SEED, SIZE, decibel, example, simulated
from benchmarks.zeroshot_quality import KNOWN, NAMES, STEPS, options
from unveil.evaluation.baselines import get_baseline
from unveil.evaluation.metrics.classical import psnr
from unveil.loading import load
from unveil.models import shelf
from unveil.options import Options
from unveil.zeroshot.methods import METHODS

BLUR, GRAIN = 2.0, 0.02
TILE, LABEL, LINE, GAP = 192, 118, 20, 4
FEW = {**STEPS, "diffpir": 100}
MODELS = ("general", "wild")
FIRST, LAST = "damaged", "original"


@dataclass(frozen=True)
class Damage:
    """A column. task: what blind methods are told. operator: what happened, where it can be said. baseline: a classical correction."""

    title: str
    photograph: str
    apply: Callable[[np.ndarray], np.ndarray]
    task: str | None = None
    operator: str | None = None
    noise: float | None = None
    baseline: str | None = None


LIGHT, HAZE, NOISE = (
    partial(simulated, kind=k, severity=s) for k, s in (("lowlight", 0.5), ("haze", 0.5), ("noise", 0.6))
)
DAMAGES = {
    "lowlight": Damage("low light", "coffee.jpg", LIGHT, "lowlight", baseline="lime-like"),
    "haze": Damage("haze", "rocket.jpg", HAZE, "dehaze", baseline="dark-channel-80"),
    "noise": Damage("noise", "chelsea.jpg", NOISE, "denoise", "identity", baseline="nlm"),
    "blur": Damage("blur, a little noise", "astronaut.jpg", lambda x: blurred(x), None, f"blur:sigma={BLUR:g}", GRAIN),
}


def blurred(x: np.ndarray) -> np.ndarray:
    """A Gaussian blur of standard deviation BLUR pixels, noise of GRAIN, eight bits; x: (H, W, 3) in [0, 1]."""
    soft = gaussian_filter(x.astype(np.float64), (BLUR, BLUR, 0), mode="reflect")
    grain = np.random.default_rng(SEED).normal(0, GRAIN, x.shape)
    return (np.rint((soft + grain).clip(0, 1) * 255) / 255).astype(np.float32)


def restorer(row: str, damage: Damage, steps: float) -> Callable[[np.ndarray], np.ndarray] | None:
    """The method of a row, made ready for a column; None where it has nothing to say. steps: share of those in FEW."""
    if row == "classical":
        return get_baseline(damage.baseline) if damage.baseline else None
    if row in MODELS:
        model = load(row, "cpu")
        return lambda y: model.restore(y, Options(seed=SEED)).image
    told = (row in KNOWN or row == "gdp") and damage.operator is not None
    if not told and (row in KNOWN or damage.task is None):
        return None
    chosen = options(row, damage.task or "denoise", max(2, round(FEW[row] * steps)))
    if told:
        chosen["operator"] = damage.operator
        if damage.noise is not None and "noise" not in METHODS[row].ignored:
            chosen["noise"] = damage.noise
    method = load(method=row, device="cpu", dtype="bf16", **chosen)
    return lambda y: method.restore(y, Options(seed=SEED)).image


ROWS = {FIRST: FIRST, "classical": "classical", **{m: m for m in MODELS}, **NAMES, LAST: LAST}


def sheet(pictures: dict[tuple[str, str], np.ndarray], numbers: dict[str, dict[str, float]]) -> Any:
    """The pictures (row, column) -> (H, W, 3) in [0, 1] in their places, each with its PSNR below; what is missing stays white."""
    high = TILE + LINE + GAP
    page = Image.new("RGB", (LABEL + len(DAMAGES) * (TILE + GAP), LINE + 2 * GAP + len(ROWS) * high), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=15)
    for j, damage in enumerate(DAMAGES.values()):
        draw.text((LABEL + j * (TILE + GAP), GAP), damage.title, fill="black", font=font)
    for i, (row, title) in enumerate(ROWS.items()):
        top = LINE + 2 * GAP + i * high
        draw.text((GAP, top + TILE // 2 - 10), title, fill="black", font=font)
        for j, column in enumerate(DAMAGES):
            if (row, column) not in pictures:
                continue
            values = np.rint(pictures[row, column].clip(0, 1) * 255).astype(np.uint8)
            left = LABEL + j * (TILE + GAP)
            page.paste(Image.fromarray(values).resize((TILE, TILE), Image.Resampling.LANCZOS), (left, top))
            if column in numbers.get(row, {}):
                draw.text((left, top + TILE), f"{numbers[row][column]:.1f} dB", fill="black", font=font)
    return page


def measure(given: Namespace) -> dict[str, Any]:
    pictures: dict[tuple[str, str], np.ndarray] = {}
    rows: dict[str, dict[str, dict[str, float]]] = {row: {"psnr": {}, "seconds": {}} for row in ROWS if row != LAST}
    for column, damage in DAMAGES.items():
        x = example(damage.photograph)
        pictures[FIRST, column], pictures[LAST, column] = damage.apply(x), x
        for row, found in rows.items():
            if row != FIRST:
                restore = restorer(row, damage, 0.1 if given.quick else 1.0)
                if restore is None:
                    continue
                clock = Clock()
                pictures[row, column] = np.asarray(restore(pictures[FIRST, column]), np.float64)
                found["seconds"][column] = clock.processor
            eight = np.rint(pictures[row, column].clip(0, 1).astype(np.float64) * 255) / 255
            found["psnr"][column] = decibel(psnr(eight, x.astype(np.float64)))
            print(f"{damage.title}, {ROWS[row]}: {found['psnr'][column]:.2f} dB", flush=True)
    given.output.mkdir(parents=True, exist_ok=True)
    sheet(pictures, {row: found["psnr"] for row, found in rows.items()}).save(
        given.output / "methods.jpg", quality=88, subsampling=0
    )
    about = {"size": SIZE, "seed": SEED, "numbers": "PSNR in dB, RGB, 8 bit; processor seconds"}
    weights = {name: shelf.load(name).sha256 for name in MODELS}
    return {"protocol": protocol(given, **about, weights=weights), "rows": rows}


def show(result: dict[str, Any]) -> str:
    """PSNR of the sheet's pictures and processor seconds of a photograph."""
    lines = []
    for row, of_row in result["rows"].items():
        spent, found = list(of_row["seconds"].values()), of_row["psnr"]
        numbers = [f"{found[c]:.1f}" if c in found else "" for c in DAMAGES]
        lines.append([ROWS[row], *numbers, f"{sum(spent) / len(spent):.1f}" if spent else ""])
    return table(["", *[d.title for d in DAMAGES.values()], "processor seconds"], lines)


OPTIONS = {"-o --output": PICTURES}
