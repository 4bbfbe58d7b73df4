from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.degradation.haze import haze


@pytest.mark.parametrize("severity", [None, 0.0, 1.0])
def test_the_scattering_formula_from_what_is_returned(
    severity: float | None, photographs: Tensor, generator: torch.Generator
) -> None:
    y, drawn = haze(photographs, generator, severity)
    t, a = drawn["transmission"], drawn["airlight"]
    assert t.shape == (8, 1, 64, 64)
    assert a.shape == (8, 3, 1, 1)
    torch.testing.assert_close(y, photographs * t + a * (1 - t), atol=1e-5, rtol=0)


def test_transmission_depth_and_airlight_lie_in_their_ranges(photographs: Tensor, generator: torch.Generator) -> None:
    for severity, low, high in ((0.0, 0.7, 0.95), (1.0, 0.08, 0.6)):
        _, drawn = haze(photographs.repeat(4, 1, 1, 1), generator, severity)
        mean = drawn["transmission"].mean((1, 2, 3))
        assert mean.min() > low
        assert mean.max() < high
        assert drawn["depth"].min() >= 0
        assert drawn["depth"].max() <= 1 + 1e-6
        assert drawn["airlight"].min() >= 0.55
        assert drawn["airlight"].max() <= 1
        # Nearly grey: the channels of an airlight differ by less than a fifth.
        assert (drawn["airlight"].amax(1) - drawn["airlight"].amin(1)).max() < 0.2


def test_haze_takes_contrast(photographs: Tensor, generator: torch.Generator) -> None:
    y, _ = haze(photographs, generator, 1.0)
    # Local contrast (between neighbours) is what scattering multiplies by t; the outlines of the haze add a little of their own.
    left = y.diff(dim=3).abs().mean((1, 2, 3)) / photographs.diff(dim=3).abs().mean((1, 2, 3))
    assert left.max() < 0.85
    assert left.mean() < 0.6
