"""How far a guided step goes: to the lowest point that is foreseen on the gradient's line."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def best_step(loss: Callable[[Tensor], Tensor], z: Tensor, slope: Tensor, value: float, least: float = 0.0) -> float:
    """The multiple of `slope` by which z is to move against it, for the loss to become least: a positive number.

    loss: z -> a scalar, with no effect besides. slope: its gradient at z, of z's shape; value: the loss there, above 0. The lowest point of
    the parabola through the loss here, its slope, and the loss one Polyak step (loss / |slope|^2 of the slope) further, which is where
    a loss that can vanish would vanish; that Polyak step itself where the parabola has no lowest point. A fixed factor overshoots once a
    step stands for several, and Polyak's own step does where the loss cannot vanish, as on noise. infinity where there is no slope.

    least: of the loss that is worth having; the step ends where the parabola falls to it, and is 0 where the loss is there already.
    """
    squared = float(slope.square().sum())
    if not 0 < squared < float("inf") or not value > 0:
        return float("inf")
    far = value / squared
    with torch.no_grad():
        there = float(loss(z.detach() - far * slope))
    bend = max(2 * (there - value + far * squared) / far**2, 0.0)
    best = squared / bend if bend > 0 else far
    if least <= 0 or value - best * squared + bend * best**2 / 2 >= least:
        return best
    over = max(value - least, 0.0)
    return 2 * over / (squared + max(squared**2 - 2 * bend * over, 0.0) ** 0.5)
