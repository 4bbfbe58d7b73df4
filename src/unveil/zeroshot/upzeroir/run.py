"""One image's way through the descents of UP-ZeroIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.errors import note
from unveil.networks.padding import pad_to_multiple
from unveil.zeroshot.ldrps.tasks import row
from unveil.zeroshot.prior import Prior
from unveil.zeroshot.recurrence import Moment, descend, limit, renoise
from unveil.zeroshot.upzeroir.judge import Judge
from unveil.zeroshot.upzeroir.objective import Objective
from unveil.zeroshot.upzeroir.refinement import Refinement, marks
from unveil.zeroshot.upzeroir.settings import UPZeroIRSettings
from unveil.zeroshot.walk import DIVERGED

PIXELS = 512 * 512
"""The size for which the guidance is given: Stable Diffusion's own."""

_HALVINGS = 4


class Run:
    """The way of one image through its descents; draw k of its noise begins descent k."""

    def __init__(
        self,
        prior: Prior,
        y: Tensor,
        noise: Noise,
        settings: UPZeroIRSettings,
        condition: tuple[Any, float],
        show: Callable[[Tensor], None],
        judge: Judge | None,
    ) -> None:
        self.prior, self.noise, self.settings, self.condition, self.show = prior, noise, settings, condition, show
        self.size, self.total = y.shape[-2:], prior.process.steps
        padded = pad_to_multiple(y, prior.multiple_of)
        # A step of a coarse grid stands for several of the trained ones, and pushes as far as they would.
        stride = self.total / settings.steps
        self.push = settings.guidance * stride * padded[0, 0].numel() / PIXELS
        self.task = settings.weights or row(settings.task, y[0])[1]
        self.objective = Objective(prior, padded, self.task, settings, settings.adapter_rate, noise)
        self.refinement = Refinement(judge, settings.threshold, settings.rule, settings.patience) if judge else None
        self.latest, self.ended, self.halved = y, False, 0
        self.whole: Tensor | None = None
        self.leaf = y  # of the graph through the prior, where the gradient takes that way

    def __call__(self, grids: list[list[int]]) -> Tensor:
        z = self.objective.latents
        last = None if self.settings.begin == "noise" else z
        for k, grid in enumerate(grids):
            eps = self.noise(k, z)
            z = eps if last is None else renoise(self.prior.process, z, grid[0], eps)
            self.marks = marks(grid, self.total, self.settings.judge_every, self.settings.judge_below)
            if self.refinement is not None:
                self.refinement.begin()
            z = descend(self.prior.process, z, grid, self._denoise, self._guide, last)
            if self.ended:
                break
            self._see(self.prior.decode(z))
            last, self.whole = z, self.latest
            if self.refinement is not None and self.refinement.finished(self.latest):
                break
        kept = self.refinement.best if self.refinement is not None and self.settings.keep == "best" else None
        return self.latest if kept is None else kept

    def _denoise(self, z: Tensor, t: int) -> Tensor:
        with torch.set_grad_enabled(self.settings.gradient == "xt"):
            self.leaf = z.detach().requires_grad_(self.settings.gradient == "xt")
            z0_hat = self.prior.denoise(self.leaf, t, *self.condition)
        if not bool(torch.isfinite(z0_hat).all()):
            self._stop()  # `descend` says why
        return z0_hat

    def _guide(self, moment: Moment) -> Tensor | None:
        with torch.enable_grad():
            if self.settings.gradient == "xt":
                wrt, z0_hat = self.leaf, limit(moment.z0_hat)
            else:
                wrt = z0_hat = moment.limited.detach().requires_grad_()
        if self.push == 0:
            wrt = None
        image, pulled = self.objective.pull(z0_hat, wrt, self.push, moment.t / self.total)
        good = self._see(image)
        self.show(self.latest)
        if not good:
            return self._fail("the estimate diverged")
        if self.refinement is not None and moment.t in self.marks and self.refinement.converged(self.latest):
            self.ended = True
            return None
        if pulled is None:
            return moment.z_u
        # A pull on the estimate is one on the state times a_u, as the noise in it stays.
        return self._pushed(moment.z_u, pulled if wrt is self.leaf else float(self.prior.process.a[moment.u]) * pulled)

    def _pushed(self, z_u: Tensor, pulled: Tensor) -> Tensor | None:
        """z_u moved against `pulled`; where that is not finite, left as it is, and pushed half as much from then on."""
        if bool(torch.isfinite(pulled).all()):
            self.halved = 0
            return z_u - pulled
        self.halved += 1
        self.push /= 2
        return z_u if self.halved < _HALVINGS else self._fail(f"the guidance was not finite, halved {_HALVINGS} times")

    def _see(self, image: Tensor) -> bool:
        """Keep an image around [-1, 1], cut to the photograph's size, as the latest estimate; False where it is none."""
        good = bool((image.abs() < DIVERGED).all())
        if good:
            self.latest = image[..., : self.size[0], : self.size[1]]
        return good

    def _fail(self, reason: str) -> None:
        note(f"{reason}; the last good estimate is kept")
        self._stop()

    def _stop(self) -> None:
        """End with the last whole descent's result, or without one with the latest estimate; at first that is the photograph."""
        self.ended = True
        self.latest = self.latest if self.whole is None else self.whole
