"""Down a frozen prior's path under guidance, up again to a lower noise level, and down once more.

What LD-RPS and UP-ZeroIR share. A grid is a list of descending indices of the prior's `process`; a descent takes one
step of the package (`unveil.diffusion.sampling.step`, DDIM) per pair of neighbours and lets a guide change where it
arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.sampling import Progress, step
from unveil.errors import Cancelled, InputError, ModelError, note

Callback = Callable[[Progress], bool | None]


class StepState(NamedTuple):
    """One step of a descent from index t to u: the state it left, the prior's estimate there, the state it reached.

    All tensors (B, C, h, w). z0_hat is as the prior gave it, `limited` with its outliers clamped.
    """

    t: int
    u: int
    z_t: Tensor
    z0_hat: Tensor
    limited: Tensor
    z_u: Tensor


Guide = Callable[[StepState], Tensor | None]
"""StepState -> the state at u to go on from, (B, C, h, w); None ends the descent with the last good estimate."""


def leading_timesteps(path: GaussianPath, steps: int) -> list[int]:
    """Stable Diffusion's own spacing ("leading", offset 1): the model's steps k (T // steps) + 1, ending at index 1.

    The last state keeps the noise of the model's step 0, because the published scheduler has no clean end.
    """
    stride = path.steps // steps if steps else 0
    if stride < 1:
        raise InputError(f"steps must lie between 1 and {path.steps} for {path.name}, got {steps}")
    top = min(steps, (path.steps - 2) // stride + 1)
    return [*(k * stride + 2 for k in range(top - 1, -1, -1)), 1]


def last_share(grid: Sequence[int], share: float) -> list[int]:
    """The end of a grid that a later round walks again: the last `share` of its steps (LD-RPS: gamma = 0.5)."""
    steps = max(1, round(share * (len(grid) - 1)))
    return list(grid[-steps - 1 :])


def limit(z0_hat: Tensor, quantile: float = 0.995, most: float = 100.0) -> Tensor:
    """Clamp each sample to its own quantile of |z0_hat|, at least 1: dynamic thresholding without the division (LD-RPS)."""
    bound = quantiles(z0_hat.detach().abs().flatten(1).float(), quantile).clamp(1.0, most)
    bound = bound.to(z0_hat.dtype).reshape(-1, *[1] * (z0_hat.ndim - 1))
    return z0_hat.clamp(-bound, bound)


def quantiles(rows: Tensor, q: float) -> Tensor:
    """(B,) quantiles of rows (B, n), linear between order statistics; torch.quantile refuses rows over 2^24 long."""
    place = q * (rows.shape[1] - 1)
    low = int(place)
    below = rows.kthvalue(low + 1, dim=1).values
    above = rows.kthvalue(min(low + 2, rows.shape[1]), dim=1).values
    return torch.lerp(below, above, place - low)


def renoise(path: GaussianPath, z: Tensor, t: int, eps: Tensor) -> Tensor:
    """The state at index t of the clean z: a_t z + s_t eps. z, eps: (B, C, h, w)."""
    return path.forward(z, z, t, eps)  # the path of a prior ignores y: b = 0


def descend(
    path: GaussianPath,
    z: Tensor,
    grid: Sequence[int],
    denoise: Callable[[Tensor, int], Tensor],
    guide: Guide,
    last: Tensor | None = None,
) -> Tensor:
    """Walk `grid` from the state z (B, C, h, w) at grid[0]; returns the state at grid[-1].

    denoise: (z_t, t) -> z0_hat. The noise that z0_hat leaves over is kept as it is when its outliers are clamped, as the
    published scheduler keeps it. Where the prior's answer is not finite, or the guide gives up, the last good estimate
    is returned with a warning: half a restoration, and never a black picture. last: the estimate of an earlier descent.
    Raises ModelError where there is no good estimate yet.
    """
    for t, u in pairwise(grid):
        z0_hat = denoise(z, t)
        if not bool(torch.isfinite(z0_hat).all()):
            if last is None:
                raise ModelError(f"the prior answered with NaN or infinity at its first step ({t}); run it in fp32")
            note(
                f"the prior answered with NaN or infinity at step {t}; its last good estimate is kept",
            )
            return last
        limited = limit(z0_hat)
        z_u = step(path, t, u, z, z0_hat, z0_hat, 0.0, None) + float(path.alpha[u]) * (limited - z0_hat)
        guided = guide(StepState(t, u, z, z0_hat, limited, z_u))
        if guided is None:
            return limited
        last, z = limited, guided
    return z


class Report:
    """Tells a callback about every evaluation of a run of `steps` evaluations; raises Cancelled where it says so."""

    def __init__(self, callback: Callback | None, steps: int) -> None:
        self.callback, self.steps, self.index = callback, steps, 0

    def __call__(self, image: Callable[[], Tensor]) -> None:
        """image: called only if somebody listens; returns the current estimate (B, 3, H, W) in [-1, 1]."""
        self.index += 1
        if self.callback is not None and self.callback(Progress(self.index - 1, self.steps, image().detach())):
            raise Cancelled(f"cancelled after step {self.index} of {self.steps}")


def alone(noise: Noise, index: int, batch: int) -> Noise:
    """The noise of one image of a batch, for methods that restore image by image: draws do not depend on the others."""
    return lambda k, like: noise(k, like.expand(batch, *like.shape[1:]))[index : index + 1]


def generator(noise: Noise, k: int) -> torch.Generator:
    """A CPU generator whose seed is draw k of `noise` (one image): for weights that start at random."""
    bits = noise(k, torch.zeros(1, 1, 1, 2)).flatten().contiguous().view(torch.int32).tolist()
    return torch.Generator().manual_seed((bits[0] & 0xFFFFFFFF) << 31 | (bits[1] & 0x7FFFFFFF))


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
