from __future__ import annotations

import pytest
import torch

from unveil.degradation import exposed
from unveil.degradation.lowlight import FACTOR
from unveil.degradation.primitives import srgb_to_linear
from unveil.errors import InputError


def test_light_is_scaled_by_one_factor_per_photograph(photographs: torch.Tensor, generator: torch.Generator) -> None:
    y = exposed(photographs, generator)
    visible = photographs > 0.2
    ratio = srgb_to_linear(y) / srgb_to_linear(photographs).clamp_min(1e-6)
    for one, where in zip(ratio, visible, strict=True):
        values = one[where]
        assert values.max() - values.min() < 1e-3
        assert FACTOR[0] - 1e-3 <= values.mean() <= FACTOR[1] + 1e-3
    assert len({round(float(r[v].mean()), 4) for r, v in zip(ratio, visible, strict=True)}) == len(photographs)


def test_same_seed_same_exposures(photographs: torch.Tensor) -> None:
    one, two = (exposed(photographs, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)


def test_wrong_batches_are_refused(generator: torch.Generator) -> None:
    with pytest.raises(InputError, match="B, 3, H, W"):
        exposed(torch.zeros(3, 8, 8), generator)
