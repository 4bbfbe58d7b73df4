from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.models import weights_file
from unveil.testing import tiny_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two test sets as they are known here, and one as its authors ship it; 24 x 32 pixels, targets brighter than inputs."""
    root = tmp_path / "data"
    for seed, (degraded, clean) in enumerate(
        [
            ("test/LOL_eval15/low/{}.png", "test/LOL_eval15/high/{}.png"),
            ("test/PolyU_100/noisy/{}_real.png", "test/PolyU_100/clean/{}_mean.png"),
            ("O-HAZE/hazy/{}_outdoor_hazy.png", "O-HAZE/GT/{}_outdoor_GT.png"),
        ]
    ):
        for i in (1, 2, 41):
            pixels = np.random.default_rng([seed, i]).integers(40, 200, (24, 32, 3))
            for place, values in ((degraded, pixels // 2), (clean, pixels)):
                path = root / place.format(i)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(path)
    return root


@pytest.fixture
def model(tmp_path: Path) -> str:
    made = tiny_model()
    path = tmp_path / "tiny.safetensors"
    weights_file.write(path, made.spec, made.predictor, made.head)
    return str(path)
