"""Synthetic photographs and tiny runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def scene(seed: int, height: int = 48, width: int = 56) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours with a few sharp rectangles, from integer arithmetic alone."""
    rng = np.random.default_rng(seed)
    down, right = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    slope = rng.integers(-3, 4, (2, 3))
    pixels = 128 + slope[0] * (down - height // 2) + slope[1] * (right - width // 2)
    for _ in range(4):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        pixels[top : top + int(rng.integers(4, 20)), left : left + int(rng.integers(4, 20))] = rng.integers(0, 256, 3)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def darkened(pixels: np.ndarray) -> np.ndarray:
    """Half as bright, with a little blue left."""
    return (pixels // 2 + np.array([0, 0, 12])).astype(np.uint8)


def write_pairs(root: Path, count: int = 6, suffix: str = ".png") -> Path:
    """`count` pairs under root/degraded and root/clean with equal names."""
    for side in ("degraded", "clean"):
        (root / side).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = scene(i)
        Image.fromarray(pixels).save(root / "clean" / f"scene{i}{suffix}")
        Image.fromarray(darkened(pixels)).save(root / "degraded" / f"scene{i}{suffix}")
    return root


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six pairs, to be read only."""
    return write_pairs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="session")
def tree(pairs: Path) -> Callable[..., dict[str, Any]]:
    """A plain configuration of a tiny run on the pairs; keyword arguments replace its settings."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "name": "tiny",
            "seed": 3,
            "ema": 0.9,
            "save_every": 1000,
            "data": {
                "root": str(pairs),
                "pairs": [{"degraded": "degraded", "clean": "clean", "weight": 1.0}],
                "held_out": 0.2,
            },
            "network": {"base": 8, "mults": [1, 1, 2], "blocks": 1, "head": 8},
            "stages": [{"kind": "predictor", "steps": 6, "lr": 1e-3, "batch": 4, "crop": 32, "warmup": 2}],
            "validation": {"count": 2, "size": 32},
            **changes,
        }

    return make
