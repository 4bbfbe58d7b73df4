from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.haze import rain


def test_screen_and_veil_from_what_is_returned(photographs: Tensor, generator: torch.Generator) -> None:
    y, p = rain(photographs, generator)
    behind = photographs + p["veil"] * (p["airlight"] - photographs)
    torch.testing.assert_close(y, 1 - (1 - behind) * (1 - p["streaks"]), atol=1e-5, rtol=0)
    assert (y >= behind - 1e-6).all(), "a streak darkens nothing"


def test_streaks_run_along_the_angle(generator: torch.Generator) -> None:
    _, p = rain(torch.zeros(40, 3, 96, 96), generator, 0.4)
    s = p["streaks"]
    along_columns, along_rows = s.diff(dim=2).square().mean((1, 2, 3)), s.diff(dim=3).square().mean((1, 2, 3))
    assert (along_columns < along_rows).all(), "neighbours above are more alike than beside"
    # The sign of the slope: correlation with the neighbour below right minus that with the one below left.
    right = (s[:, :, 1:, 1:] * s[:, :, :-1, :-1]).mean((1, 2, 3))
    left = (s[:, :, 1:, :-1] * s[:, :, :-1, 1:]).mean((1, 2, 3))
    angle = p["angle"].flatten()
    steep = angle.abs() > 0.25
    assert steep.sum() > 10
    assert torch.equal((right > left)[steep], (angle > 0)[steep])


def test_more_drops_and_brighter_with_severity(generator: torch.Generator) -> None:
    x = torch.zeros(16, 3, 64, 64)
    state = generator.get_state()
    _, light = rain(x, generator, 0.1)
    generator.set_state(state)
    _, heavy = rain(x, generator, 0.9)
    assert (heavy["streaks"].mean((1, 2, 3)) > 2 * light["streaks"].mean((1, 2, 3))).all()
