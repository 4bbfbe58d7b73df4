from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def parts(shared: Path) -> Callable[[str], Tensor]:
    """Stored results of the published code's deterministic parts: images as (3, h, w) RGB, kernels as they are."""
    stored = np.load(shared / "golden" / "wild_degradation_parts.npz")

    def part(name: str) -> Tensor:
        value = torch.from_numpy(stored[name].astype(np.float64))
        return value.flip(2).permute(2, 0, 1).contiguous() if value.ndim == 3 else value

    return part
