"""How fast IR-SDE's process forgets the clean image: theta_t and its integral (Luo et al., ICML 2023, section 3).

The published code counts T steps of one size dt and tabulates theta at t = 0..T; all a path needs is the integral.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.errors import InputError

SCHEDULES = ("cosine", "linear", "constant")


def theta(schedule: str, steps: int) -> Tensor:
    """(T + 1,) float64, theta_t before scaling, in (0, 1]; entry 0 is tabulated and never used.

    "cosine": 1 - abar with Nichol and Dhariwal's abar on a grid of T + 2 intervals, both ends left out (published
    networks use it); "linear": DDPM's betas stretched to T + 1 steps; "constant": 1. Raises InputError for another name
    or T < 1.
    """
    if steps < 1:
        raise InputError(f"a theta schedule needs at least one step, got {steps}")
    if schedule == "constant":
        return torch.ones(steps + 1, dtype=torch.float64)
    if schedule == "linear":
        scale = 1000 / (steps + 1)
        return torch.linspace(scale * 1e-4, scale * 0.02, steps + 1, dtype=torch.float64)
    if schedule == "cosine":
        u = torch.arange(steps + 3, dtype=torch.float64) / (steps + 2)
        abar = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        return 1 - (abar / abar[0])[1:-1]
    raise InputError(f"unknown theta schedule {schedule!r}; known are {', '.join(SCHEDULES)}")


def theta_sum(schedule: str, steps: int, eps: float = 0.005) -> Tensor:
    """(T + 1,) float64, the integral of theta from 0 to t, for `mean_reverting`: 0 at t = 0, -ln eps at t = T.

    eps: share of the clean image that is left at T; it fixes the size of a step, dt = -ln(eps) / sum(theta_1..T). The
    published settings say 0.005. Raises InputError unless 0 < eps < 1.
    """
    if not 0 < eps < 1:
        raise InputError(f"eps, the share of the clean image left at the start of sampling, lies in (0, 1); got {eps}")
    total = theta(schedule, steps).cumsum(0)
    total = total - total[0]
    return total * (-math.log(eps) / float(total[-1]))
