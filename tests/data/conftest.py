"""Small image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]


def noise(seed: int, height: int = 20, width: int = 24) -> np.ndarray:
    """(height, width, 3) uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write noise to a path below tmp_path, made if missing; returns the path."""

    def to(name: str, height: int = 20, width: int = 24, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(seed, height, width)).save(path)
        return path

    return to
