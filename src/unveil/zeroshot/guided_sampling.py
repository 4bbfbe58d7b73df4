"""What the samplers for known operators share: which steps, the way through the one loop, and what happens when it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.diffusion.path import GaussianPath
from unveil.diffusion.sampling import Guide, Progress, sample
from unveil.errors import InputError, note
from unveil.zeroshot.measurement import Measurement
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
            callback=None if seen is None else lambda p: seen(Progress(p.index, p.steps, self.image(p.x0_hat))),
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
