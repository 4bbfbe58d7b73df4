"""Photographs and folders for the tests of the evaluation room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

Save = Callable[..., Path]


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A photograph (200, 240, 3) uint8, in the public domain; read only."""
    image = np.ascontiguousarray(data.astronaut()[20:220, 120:360])
    image.setflags(write=False)
    return image


@pytest.fixture(scope="session")
def noisy(photo: np.ndarray) -> np.ndarray:
    """`photo` with Gaussian noise of 20/255, rounded to 8 bit."""
    noise = np.random.default_rng(0).normal(0, 20, photo.shape)
    image = np.clip(np.rint(photo + noise), 0, 255).astype(np.uint8)
    image.setflags(write=False)
    return image


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """save(array, "folder/name.png") -> the path, inside this test's own folder."""

    def write(pixels: np.ndarray, name: str, **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **options)
        return path

    return write
