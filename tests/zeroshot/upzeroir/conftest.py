"""Makes the fakes of these tests importable, and reads one photograph."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def photograph() -> Tensor:
    """A free photograph, (1, 3, 192, 192) in [0, 1]."""
    with Image.open(str(files("unveil") / "examples" / "chelsea.jpg")) as image:
        small = np.array(image.convert("RGB").resize((192, 192), Image.Resampling.BICUBIC))
    return torch.from_numpy(small).permute(2, 0, 1)[None] / 255
