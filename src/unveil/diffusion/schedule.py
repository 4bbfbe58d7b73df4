"""Noise schedules: how much of the clean image a state still carries, and where sampling may start.

A schedule is a table of sqrt(abar), strictly decreasing from 1 (clean) at index 0. Indices 1..T are the steps of the
papers; the official Resfusion code counts them from 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.errors import InputError

_GAP = 0.01  # Resfusion replaces the last entry by exactly 1/2 only if it undershoots by more than this


@dataclass(frozen=True, eq=False)
class Schedule:
    """A table of signal rates.

    name: what made it, for messages and saved configurations.
    signal: (T' + 1,) float64, sqrt(abar), signal[0] = 1, strictly decreasing.
    """

    name: str
    signal: Tensor

    @property
    def steps(self) -> int:
        """Number of steps in the table."""
        return len(self.signal) - 1

    @property
    def alpha(self) -> Tensor:
        """(T,) per-step alpha_t = abar_t / abar_{t-1}, for t = 1..T."""
        return (self.signal[1:] / self.signal[:-1]) ** 2

    @property
    def start(self) -> int:
        """T', the step whose sqrt(abar) is nearest to 1/2, where the residual path forgets x0 (LearnIR Eq. 3)."""
        return 1 + int(torch.argmin((self.signal[1:] - 0.5).abs()))


def _truncated(name: str, beta: Tensor) -> Schedule:
    """Cut at the first sqrt(abar) <= 1/2 if it undershoots by over 0.01, its entry becoming exactly 1/2 (Resfusion)."""
    signal = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1.0 - beta, 0).sqrt()])
    below = int(torch.nonzero(signal <= 0.5)[0])
    if 0.5 - signal[below] > _GAP:
        signal = signal[: below + 1].clone()
        signal[below] = 0.5
    return Schedule(name, signal)


def linear_pro(steps: int) -> Schedule:
    """Linear betas from 0.1/T to 20/T, truncated at sqrt(abar) = 1/2 (Resfusion's default; LearnIR: T = 12, T' = 5).

    Raises InputError for T < 10: the betas are shares of variance but grow to 20/T, and below 10 they pass 1, where
    abar turns negative, before or so soon after the truncation that the published code returns NaN or fails.
    """
    if steps < 10:
        raise InputError(
            f"linear_pro is undefined for T = {steps}: its betas grow to 20/T, far over 1, so abar turns negative "
            "around the start of sampling and the published code fails. Use T >= 10 (T = 12 gives the five steps of the "
            "paper), or the cubic grid for fewer steps."
        )
    return _truncated(f"linear_pro({steps})", torch.linspace(0.1 / steps, 20.0 / steps, steps, dtype=torch.float64))


def cosine_pro(steps: int) -> Schedule:
    """Betas of Nichol and Dhariwal's cosine abar (offset 0.008, at most 0.999), cut as linear_pro's. Needs T >= 2."""
    if steps < 2:
        raise InputError(f"cosine_pro is undefined for T = {steps}: no step lies before sqrt(abar) = 1/2. Use T >= 2.")
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    return _truncated(f"cosine_pro({steps})", (1.0 - f[1:] / f[:-1]).clamp(max=0.999))


def cubic(steps: int) -> Schedule:
    """A grid for few steps: the weight of x0, a = 2 sqrt(abar) - 1, follows 1 - (1-u)^3 from start to clean end.

    u = i / steps counts from the start (a = 0) to the clean image (a = 1), so the steps crowd where the image is nearly
    clean, and detail is decided. Any steps >= 1; every table ends at sqrt(abar) = 1/2 exactly.
    """
    if steps < 1:
        raise InputError(f"a schedule needs at least one step, got {steps}")
    u = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
    return Schedule(f"cubic({steps})", 1.0 - 0.5 * (1.0 - u) ** 3)
