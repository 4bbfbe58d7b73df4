"""The ways down a frozen prior's path under guidance.

`GuidedSampling` is what the samplers for known operators share: which steps, the way through the one loop, and what happens when it
breaks. `descend` and what follows is shared by LD-RPS and UP-ZeroIR, which go down, up again to a lower noise level, and down once more: a
grid is a list of descending indices of the prior's `process`; a descent takes one step of the package
(`unveil.diffusion.sampling.step`, DDIM) per pair of neighbours and lets a guide change where it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.sampling import Guide, Progress, sample, step
from unveil.errors import Cancelled, InputError, ModelError, note
from unveil.zeroshot.operators import Measurement
from unveil.zeroshot.priors import Prior

Callback = Callable[[Progress], bool | None]

# Estimates this far outside [-1, 1] (or outside the few units that latents span) have diverged, though not overflowed yet.
DIVERGED = 100.0
HALVINGS = 3


def trained_steps(path: GaussianPath, t: int, u: int) -> float:
    """How many steps of a path of a thousand the step from t to u stands for: published weights are per such step."""
    return 1000.0 * (t - u) / path.steps


def in_pixels(prior: Prior, method: str) -> None:
    """Refuse priors whose states are not pixels, for methods that use the operator's singular values on them."""
    if prior.factor != 1 or prior.channels != 3:
        raise InputError(
            f"{method} needs a prior of pixels: the operator must be linear in what diffuses; {prior.name} diffuses latents. "
            "Use dps or gdp with it, or another prior"
        )


@dataclass(frozen=True, eq=False)
class GuidedSampling:
    """One way down a prior's path for one measurement: ascending indices of `prior.process`, the first 0."""

    prior: Prior
    measurement: Measurement
    indices: list[int]
    noise: Noise
    callback: Callback | None = None

    def run(self, denoise: Callable[[Tensor, int], Tensor], solver: str, guide: Guide | None = None) -> Tensor:
        """Sample; returns images (B, 3, H, W). denoise: (x_t, t) -> x0_hat; t and u count `prior.process`, here and in guide.

        The start is s_N eps plus a_N times the simplest picture that the measurement suggests, A^T y / max(s)^2.
        """
        m, at, seen = self.measurement, self.indices, self.callback
        begin = self.prior.encode(m.operator.adjoint(m.y) / m.operator.strength**2)
        out = sample(
            lambda x, _, t: denoise(x, at[t]),
            begin,
            self.prior.process.subset(at),
            self.noise,
            solver=solver,
            guide=None if guide is None else lambda x_u, x0, x_t, t, u: guide(x_u, x0, x_t, at[t], at[u]),
            callback=None if seen is None else lambda p: seen(Progress(p.index, p.steps, self.image(p.shared))),
        )
        return self.image(out)

    def image(self, z: Tensor) -> Tensor:
        """The part of a state's image that was asked for."""
        return self.measurement.crop(self.prior.decode(z))

    def fresh(self, u: int, like: Tensor) -> Tensor:
        """The draw of the step that arrives at index u, for guides that make the step themselves."""
        return self.noise(len(self.indices) - 1 - self.indices.index(u), like)


class _Again(Exception):
    """Some image of the batch diverged; its guidance was halved and the walk begins anew."""


class DivergenceGuard:
    """Halves the guidance of images that diverge, each for itself, and at last keeps their last good estimate.

    A path is spoilt long before it overflows, so halving starts it anew, with the same noise; the other images of the
    batch walk the same path again. `share` (B, 1, 1, 1): by what the guidance is to be multiplied.
    """

    def __init__(self, like: Tensor) -> None:
        self.share = torch.ones(len(like), 1, 1, 1).to(like)
        self.halved = torch.zeros(len(like), dtype=torch.int64)
        self.stopped = torch.zeros(len(like), dtype=torch.bool)
        self.good: Tensor | None = None

    def run(self, walk: Callable[[], Tensor]) -> Tensor:
        """Result of `walk`, begun anew as often as guidance had to be halved; warns about images that were stopped."""
        while True:
            self.good, self.stopped[:] = None, False
            try:
                out = walk()
            except _Again:
                continue
            if bool(self.stopped.any()):
                which = ", ".join(str(i) for i in torch.nonzero(self.stopped).flatten().tolist())
                note(
                    f"guidance diverged although halved {HALVINGS} times; the result is the last good estimate "
                    f"(image {which} of the batch). A smaller scale or more steps may help",
                    stacklevel=3,
                )
            return out

    def __call__(self, x0_hat: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
        """x0_hat and the guidance computed from it, where both are finite; for stopped images the last good one, and 0."""
        bad = ~torch.isfinite(pull).flatten(1).all(1) | ~(x0_hat.abs().flatten(1).amax(1) < DIVERGED)
        bad = bad.cpu()
        if self.good is None and bool(bad.any()):
            raise InputError("the prior's first estimate is not finite; its weights or its half precision are to blame")
        again = bad & ~self.stopped & (self.halved < HALVINGS)
        if bool(again.any()):
            self.halved += again
            self.share[again.to(self.share.device)] /= 2
            raise _Again
        self.stopped |= bad
        lost = self.stopped.to(x0_hat.device).view(-1, 1, 1, 1)
        if self.good is not None:
            x0_hat = torch.where(lost, self.good, x0_hat)
        self.good = x0_hat
        return x0_hat, torch.where(lost, 0.0, pull)


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


StepGuide = Callable[[StepState], Tensor | None]
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
    guide: StepGuide,
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
