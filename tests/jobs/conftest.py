from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def save(path: Path, seed: int = 0, size: tuple[int, int] = (48, 32)) -> Path:
    """A photograph of noise (width, height) at `path`, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four photographs in three folders, and what cameras, computers and people leave beside them."""
    root = tmp_path / "in"
    save(root / "a.png", 1)
    save(root / "b.JPG", 2)
    save(root / "trip" / "c.webp", 3)
    save(root / "trip" / "day 2" / "d.png", 4)
    for stray in (
        "Thumbs.db",
        ".DS_Store",
        "notes.txt",
        "trip/._c.webp",
        "__MACOSX/a.png",
        "trip/.thumbnails/c.png",
        "list",
    ):
        (root / stray).parent.mkdir(parents=True, exist_ok=True)
        (root / stray).write_bytes(b"not a picture")
    return root
