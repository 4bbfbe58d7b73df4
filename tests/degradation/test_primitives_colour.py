from __future__ import annotations

import torch

from unveil.degradation import quantise
from unveil.degradation.primitives import linear_to_srgb, luminance, srgb_to_linear


def test_round_trip_and_known_values() -> None:
    x = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-6, rtol=0)
    torch.testing.assert_close(srgb_to_linear(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 0.2140411, 1.0]))


def test_the_curve_rises_everywhere_and_joins_without_a_step() -> None:
    x = torch.linspace(0.03, 0.05, 2001)
    steps = srgb_to_linear(x).diff()
    assert steps.min() > 0
    assert steps.max() < 2e-6


def test_quantise_gives_levels_and_is_idempotent() -> None:
    x = torch.linspace(-0.1, 1.1, 999)
    q = quantise(x)
    assert q.min() == 0
    assert q.max() == 1
    assert len(q.unique()) == 256
    assert torch.equal(quantise(q), q)
    assert (q - x.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


def test_luminance_of_grey_is_grey() -> None:
    torch.testing.assert_close(luminance(torch.full((1, 3, 2, 2), 0.4)), torch.full((1, 1, 2, 2), 0.4))
