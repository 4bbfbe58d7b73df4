from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor


@pytest.fixture(scope="session")
def photographs() -> Tensor:
    """(8, 3, 64, 64) crops of scikit-image's photographs, 8-bit values in [0, 1]."""
    crops = []
    for image in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket()):
        small = torch.from_numpy(image.copy()).permute(2, 0, 1).float()[:, ::2, ::2]
        crops += [small[:, 20:84, 40:104], small[:, 80:144, 110:174]]
    return torch.stack(crops) / 255


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
