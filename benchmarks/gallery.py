"""Sample sheets and failures of a model, from the free photographs that ship with the package, and real photographs as they were taken.

    python -m benchmarks gallery --json benchmarks/results/gallery.json

Writes docs/img/sheet_NAME.jpg (the damaged photograph, draws, their mean, where they differ, the original) and docs/img/failure_NAME.jpg
(damaged, restored, where the draws differ, original), docs/img/real_NAME.jpg (a photograph of docs/photographs as it was taken, and
restored), and the numbers that docs/failures.md quotes.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._pages import Facts
from benchmarks._shared import HERE, MODEL, PICTURES, earlier, protocol
from unveil import degradation, figures, photo
from unveil.evaluation.metrics.classical import psnr
from unveil.photo.srgb import decode, encode
from unveil.restorer import load
from unveil.util.tensors import batch_of, pixels_of

SIZE = 256
DRAWS = 4
MOST = 100.0
SEED = 3
SHEETS = {
    # name: (photograph, what is done to it)
    "lowlight": ("coffee.jpg", lambda x: simulated(x, "lowlight", 0.5)),
    "noise": ("chelsea.jpg", lambda x: simulated(x, "noise", 0.6)),
}
FAILURES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "tinted_shadow": ("coffee.jpg", lambda x: tinted_shadow(x)),
    "dense_haze": ("chelsea.jpg", lambda x: simulated(x, "haze", 1.0)),
    "face": ("astronaut.jpg", lambda x: coarse(x)),
}
REAL = {"aitzgorri": ("haze",), "sunset": ("lowlight",), "seeding": ("lowlight",), "wine": ("shadow",)}
"""Photographs of docs/photographs, and what is to be fixed in them."""


def example(name: str) -> np.ndarray:
    """The middle square of an example, SIZE pixels a side, (SIZE, SIZE, 3) float32 in [0, 1]."""
    with Image.open(str(files("unveil") / "examples" / name)) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
    values = np.asarray(square.resize((SIZE, SIZE), Image.Resampling.LANCZOS), np.float32)
    return np.rint(values) / 255


def decibel(value: float) -> float:
    """A PSNR that JSON can hold: `MOST` for equal pictures."""
    return min(float(value), MOST)


def simulated(x: np.ndarray, kind: str, severity: float) -> np.ndarray:
    y, _ = degradation.apply(kind, batch_of(x), torch.Generator().manual_seed(SEED), severity)
    return pixels_of(degradation.quantise(y))


def tinted_shadow(x: np.ndarray) -> np.ndarray:
    """A shadow lit by blue sky alone, with a soft edge across the photograph."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    depth = 1 / (1 + np.exp(-(rows + 0.6 * columns - 0.75) / 0.02))[..., None]
    light = 1 - depth * (1 - np.array([0.18, 0.32, 0.62]))
    return np.rint(encode(decode(x) * light) * 255).astype(np.float32) / 255


def coarse(x: np.ndarray) -> np.ndarray:
    """An eighth of the pixels a side, enlarged again: the face is some twelve pixels wide."""
    image = Image.fromarray(np.rint(x * 255).astype(np.uint8))
    small = image.resize((SIZE // 8, SIZE // 8), Image.Resampling.BOX).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32) / 255


def measure(given: Namespace) -> dict[str, Any]:
    restorer, draws = load(given.model, "cpu"), 2 if given.quick else DRAWS
    given.output.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = earlier(given.json).get("rows", {})
    for name in given.rows or [*REAL, *SHEETS, *FAILURES]:
        if name in REAL:
            source = HERE.parent / "docs" / "photographs" / f"{name}.jpg"
            out = restorer.restore(source, fix=REAL[name], seed=SEED)
            pair = {"as taken": photo.read(source).pixels, f"--fix {','.join(REAL[name])}": out.image}
            figures.side_by_side(list(pair.values()), list(pair)).save(given.output / f"real_{name}.jpg", quality=88)
            continue
        photograph, damage = {**SHEETS, **FAILURES}[name]
        x = example(photograph)
        y = damage(x)
        out = restorer.restore(y, samples=draws, fidelity=0.0, seed=SEED)
        doubt = np.asarray(figures.overlay(out.image, out.uncertainty), np.float32)[:SIZE] / 255  # without its legend
        before, after = (decibel(psnr(np.rint(p * 255.0) / 255, x.astype(np.float64))) for p in (y, out.image))
        pictures = {f"damaged, {before:.1f} dB" if before < MOST else "as taken": y}
        if name in SHEETS:
            pictures |= {"a draw": out.samples[0], "another draw": out.samples[1]}
        pictures |= {f"mean of {draws}, {after:.1f} dB": out.image, "the draws differ": doubt, "original": x}
        target = given.output / f"{'sheet' if name in SHEETS else 'failure'}_{name}.jpg"
        figures.side_by_side(list(pictures.values()), list(pictures)).save(target, quality=90, subsampling=0)
        rows[name] = {"input": before, "restored": after, "spread_levels": 255 * float(out.std.mean())}
        print(f"{name}: {before:.2f} dB before, {after:.2f} dB after", flush=True)
    own = {k: v for k, v in out.protocol.items() if k != "device"}
    return {"protocol": protocol(given, **own, size=SIZE), "rows": rows}


def facts(result: dict[str, Any]) -> Facts:
    """NAME.input, NAME.restored (PSNR in dB), NAME.spread (8-bit levels)."""
    own = result["protocol"]
    made = Facts(model=f"{own['model']} (sha256 {own['sha256'][:12]})")
    for name, row in result["rows"].items():
        for key, kept in (("input", "input"), ("restored", "restored"), ("spread", "spread_levels")):
            made.put(f"{name}.{key}", row[kept], 1)
    return made


OPTIONS = {
    "--model": MODEL,
    "--rows": ((), "make these alone anew", (*REAL, *SHEETS, *FAILURES)),
    "-o --output": PICTURES,
}
