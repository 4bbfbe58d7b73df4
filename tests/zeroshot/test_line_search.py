"""How far a guided step goes, on losses whose lowest point is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.zeroshot.guided_sampling import best_step

CENTRE = torch.tensor([1.0, -2.0, 0.5])


@pytest.mark.parametrize("left", [0.0, 0.3, 40.0])
@pytest.mark.parametrize("curve", [0.01, 1.0, 50.0])
def test_a_parabola_is_met_at_its_lowest_point(curve: float, left: float) -> None:
    """Whatever loss stays over there, which Polyak's step would overshoot by the more the larger it is."""

    def loss(z: Tensor) -> Tensor:
        return left + curve * (z - CENTRE).square().sum()

    z = torch.zeros(3, dtype=torch.float64)
    slope = 2 * curve * (z - CENTRE)
    value = float(loss(z))
    assert best_step(loss, z, slope, value) == pytest.approx(1 / (2 * curve), rel=1e-9)
    # No further than to a loss that is worth having, and nowhere from one that is there already.
    middle = left + 0.25 * (value - left)
    at = best_step(loss, z, slope, value, middle)
    assert float(loss(z - at * slope)) == pytest.approx(middle, rel=1e-9)
    assert best_step(loss, z, slope, value, value) == 0
    assert best_step(loss, z, slope, value, 2 * value) == 0
    assert best_step(loss, z, slope, value, 0.5 * left) == pytest.approx(1 / (2 * curve), rel=1e-9)


def test_without_a_lowest_point_it_is_polyak_s_step() -> None:
    z = torch.tensor([2.0])
    assert best_step(lambda at: at.sum(), z, torch.ones(1), 2.0) == 2.0
    assert best_step(lambda at: at.sum(), z, torch.ones(1), 2.0, 0.5) == 1.5


@pytest.mark.parametrize("slope", [0.0, float("inf"), float("nan")])
def test_without_a_slope_there_is_no_bound(slope: float) -> None:
    assert best_step(lambda at: at.sum(), torch.zeros(2), torch.full((2,), slope), 1.0) == float("inf")
