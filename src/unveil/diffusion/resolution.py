"""DRM: at which resolution each step runs, and the change of resolution between two steps (LearnIR section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from unveil.errors import InputError
from unveil.util.guided_filter import linear_law

READINGS = ("off", "coarse_to_fine", "hourglass")
SWITCHES = ("residual", "guided", "image", "state")
RADIUS = 4
"""Of the windows of the guided switch, in pixels of the reduced photograph: at 128 px a fourteenth of its long side."""
EDGE = 1e-3
"""Variance of y within a window, for images in [-1, 1], from which its edges are followed: a standard deviation of 4 of 255 levels."""


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The operator D: bilinear with antialiasing. (B, C, H, W) -> (B, C, *size)."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    # On the CPU, antialiasing has no half-precision kernel.
    return F.interpolate(_wide(x), size=size, mode="bilinear", antialias=True, align_corners=False).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """At least in single precision."""
    return x.float() if x.element_size() < 4 else x


@dataclass(frozen=True)
class Resolution:
    """The schedule s(t) and the kind of switch.

    reading: "coarse_to_fine" (the paper's text: low while t > T'/2, native after), "hourglass" (the published overview
    figure: full, half, quarter, half, full over the steps) or "off".
    low: long side in pixels of the low stage of coarse_to_fine; photographs below it are not reduced.
    switch: "residual" resizes R_hat = y - x0_hat, so that y's own fine detail survives; "guided" makes it at the new size from
    y there, by the local linear law that it follows at the old one (see `guided`), so that it keeps y's edges and its contrast; "image"
    resizes x0_hat; "state" resizes the noisy state itself (wrong: it correlates and shrinks the noise; kept for the ablation).
    """

    reading: str = "coarse_to_fine"
    low: int = 160
    switch: str = "residual"

    def __post_init__(self) -> None:
        if self.reading not in READINGS:
            raise InputError(f"unknown reading of dynamic resolution {self.reading!r}; known are {', '.join(READINGS)}")
        if self.switch not in SWITCHES:
            raise InputError(f"unknown switch {self.switch!r}; known are {', '.join(SWITCHES)}")
        if self.low < 1:
            raise InputError(f"the long side of the low stage must be at least one pixel, got {self.low}")

    def factor(self, index: int, steps: int, size: tuple[int, int]) -> float:
        """Reduction (>= 1) at evaluation `index` (0 first) of `steps`, for a photograph of this native size."""
        if self.reading == "coarse_to_fine":
            early = steps - index > steps / 2 and index < steps - 1  # the last evaluation is always native
            return max(1.0, max(size) / self.low) if early else 1.0
        if self.reading == "hourglass":
            middle = (steps - 1) / 2
            return float(2 ** math.floor(2 * (1 - abs(index - middle) / middle) + 1e-9)) if middle else 1.0
        return 1.0

    def sizes(self, steps: int, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) at every evaluation."""
        factors = [self.factor(i, steps, size) for i in range(steps)]
        return [(max(1, round(size[0] / f)), max(1, round(size[1] / f))) for f in factors]


OFF = Resolution("off")


def guided(
    residual: Tensor, y_from: Tensor, y_to: Tensor, enlarged: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """A residual (B, C, h, w) of the reduced photograph at the size of y_to, by a fast guided filter with the grey of y as the guide.

    In each window of the reduced photograph every channel of the residual is fitted as a * grey(y) + b (least squares, a shrunk by EDGE);
    a and b, which vary slowly, are averaged over the windows, resized, and applied to y_to. A residual that was merely resized leaves
    halos along the edges of y, and a photograph that it brightened has no more contrast than it had in the dark.

    residual: y - x0_hat for images in [-1, 1]. y_from, y_to: the photograph at that size, and at the wanted one. enlarged: from the one
    size to the other; `resize` by default. Source: He, Sun, Tang, "Guided image filtering" (PAMI 2013), equations 5, 6 and 8; resized
    coefficients: He, Sun, "Fast guided filter" (arXiv:1505.00996).
    """

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * RADIUS + 1, stride=1, padding=RADIUS, count_include_pad=False)

    # Only where it is needed: whoever traces this for photographs of any size must not see it read.
    enlarge = enlarged or partial(resize, size=(int(y_to.shape[-2]), int(y_to.shape[-1])))
    guide, target = _wide(y_from).mean(1, keepdim=True), _wide(residual)
    a, b = linear_law(guide, target, mean, EDGE)
    return (enlarge(a) * _wide(y_to).mean(1, keepdim=True) + enlarge(b)).to(y_to.dtype)


def transfer(x0_hat: Tensor, y_from: Tensor, y_to: Tensor, switch: str) -> Tensor:
    """x0_hat carried to the size of y_to: y_to - up(y_from - x0_hat), the residual made anew there for switch "guided", or
    up(x0_hat) for "image" or "state".

    After it the state is rebuilt as a_u x0_hat + b_u y_to + s_u z with fresh z: the resized noise would be neither
    white nor of the level the network was trained at.
    """
    if switch == "guided":
        return y_to - guided(y_from - x0_hat, y_from, y_to)
    size = (int(y_to.shape[-2]), int(y_to.shape[-1]))
    if switch == "residual":
        return y_to - resize(y_from - x0_hat, size)
    return resize(x0_hat, size)
