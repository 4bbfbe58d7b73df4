from __future__ import annotations

import math

import pytest
import torch

from unveil.errors import ModelError
from unveil.networks.blocks import TimeMLP, sinusoidal


def test_sines_then_cosines_of_falling_frequencies() -> None:
    got = sinusoidal(torch.tensor([0, 3, 999]), 6)
    for row, t in zip(got, (0, 3, 999), strict=True):
        angles = [t * f for f in (1.0, 1e-2, 1e-4)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        # float32 holds an angle near 999 to 6e-5
        torch.testing.assert_close(row, torch.tensor(expected), rtol=0, atol=1e-4 if t == 999 else 1e-6)


def test_precision_does_not_follow_a_low_precision_time() -> None:
    assert sinusoidal(torch.tensor([257], dtype=torch.int16), 8).dtype == torch.float32
    assert sinusoidal(torch.tensor([0.5], dtype=torch.bfloat16), 8).dtype == torch.float32
    assert sinusoidal(torch.tensor([0.5], dtype=torch.float64), 8).dtype == torch.float64


@pytest.mark.parametrize("dim", [0, 2, 7])
def test_impossible_widths_are_refused(dim: int) -> None:
    with pytest.raises(ModelError, match=f"even number of channels, at least 4; got {dim}"):
        sinusoidal(torch.zeros(1), dim)
    with pytest.raises(ModelError):
        TimeMLP(dim, 8)


@pytest.mark.parametrize("gated", [False, True])
def test_time_mlp_keeps_the_published_names_and_the_weights_type(gated: bool) -> None:
    mlp = TimeMLP(8, 32, gated=gated).bfloat16()
    assert set(mlp.state_dict()) == {"1.weight", "1.bias", "3.weight", "3.bias"}
    out = mlp(torch.tensor([1, 2, 999]))
    assert out.shape == (3, 32)
    assert out.dtype == torch.bfloat16
