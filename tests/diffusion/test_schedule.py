from __future__ import annotations

import pytest
import torch

from unveil.diffusion import Schedule, cosine_pro, cubic, linear_pro
from unveil.errors import InputError

TABLES = [
    *(linear_pro(t) for t in (10, 12, 20, 22, 100, 1000)),
    *(cosine_pro(t) for t in (2, 3, 10, 12, 100)),
    cubic(5),
]


@pytest.mark.parametrize("schedule", TABLES, ids=lambda s: s.name)
def test_signal_falls_strictly_from_one(schedule: Schedule) -> None:
    assert schedule.signal.dtype == torch.float64
    assert schedule.signal[0] == 1
    assert (schedule.signal[: schedule.start + 1].diff() < 0).all()
    assert (schedule.signal >= 0).all()


@pytest.mark.parametrize("schedule", TABLES, ids=lambda s: s.name)
def test_start_is_the_step_nearest_to_one_half(schedule: Schedule) -> None:
    distance = [abs(float(r) - 0.5) for r in schedule.signal[1:]]
    assert schedule.start == 1 + distance.index(min(distance))
    assert min(distance) <= 0.01 + 1e-12 or schedule.name == "cosine_pro(2)"


def test_the_five_steps_of_the_paper() -> None:
    """T = 12: the sixth beta is never reached, and the fifth is what leads to abar = 1/4."""
    schedule = linear_pro(12)
    assert (schedule.steps, schedule.start) == (5, 5)
    beta = torch.linspace(0.1 / 12, 20 / 12, 12, dtype=torch.float64)[:4]
    torch.testing.assert_close(schedule.alpha[:4], 1 - beta, rtol=0, atol=1e-15)
    assert float(schedule.signal[-1]) == 0.5
    assert float(schedule.alpha[-1]) == pytest.approx(0.25 / float((1 - beta).prod()), abs=1e-15)


@pytest.mark.parametrize(("steps", "start"), [(10, 4), (12, 5), (22, 8), (50, 19), (100, 37), (273, 100), (1000, 368)])
def test_starts_of_linear_pro(steps: int, start: int) -> None:
    assert linear_pro(steps).start == start


@pytest.mark.parametrize(("steps", "start"), [(4, 3), (10, 7), (12, 8), (100, 66), (1000, 664)])
def test_starts_of_cosine_pro(steps: int, start: int) -> None:
    assert cosine_pro(steps).start == start


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 64])
def test_cubic_weight_of_the_clean_image(steps: int) -> None:
    schedule = cubic(steps)
    assert schedule.start == schedule.steps == steps
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    torch.testing.assert_close((2 * schedule.signal - 1).flip(0), 1 - (1 - u) ** 3, rtol=0, atol=1e-15)


@pytest.mark.parametrize("steps", range(10))
def test_linear_pro_refuses_what_has_no_table(steps: int) -> None:
    with pytest.raises(InputError, match=rf"undefined for T = {steps}: .*over 1.*T >= 10"):
        linear_pro(steps)


def test_the_other_schedules_refuse_too() -> None:
    with pytest.raises(InputError, match=r"cosine_pro is undefined for T = 1.*T >= 2"):
        cosine_pro(1)
    with pytest.raises(InputError, match="at least one step, got 0"):
        cubic(0)
