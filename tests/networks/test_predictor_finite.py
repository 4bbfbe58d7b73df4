"""One bad number among many is seen, in every precision."""

from __future__ import annotations

import pytest
import torch

from unveil.networks.predictor import finite


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [[float("nan")], [float("inf")], [-float("inf")], [float("inf"), -float("inf")]])
def test_bad_numbers_do_not_cancel(dtype: torch.dtype, bad: list[float]) -> None:
    x = torch.full((3, 100, 100), 1000.0, dtype=dtype)  # whose sum fp16 could not hold
    assert finite(x)
    assert finite(-x)
    x.flatten()[7 : 7 + len(bad)] = torch.tensor(bad, dtype=dtype)
    assert not finite(x)
