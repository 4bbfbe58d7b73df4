"""How one photograph pulls on the estimate: two stages, F-PAM learnt in both, guidance in the second (LD-RPS, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.errors import note
from unveil.zeroshot.ldrps.adapter import cropped
from unveil.zeroshot.ldrps.objective import Objective
from unveil.zeroshot.ldrps.settings import LDRPSSettings
from unveil.zeroshot.ldrps.simplest import simplest
from unveil.zeroshot.ldrps.tasks import Task
from unveil.zeroshot.line import best_step
from unveil.zeroshot.perceptual import Perceptual
from unveil.zeroshot.prior import Prior
from unveil.zeroshot.recurrence import Moment, generator, limit

GUIDED = 0.7
"""Share of the path below which there is guidance; above, only F-PAM learns."""

STRIDE, SIZE = 2, 3 * 512 * 512
"""What the published scales are given for: trained steps per step, values per image."""

DRAWS = 1000
"""Draws of noise from here on are F-PAM's, the discriminators' and the crops'; the descents' are below."""


def mixed_estimate(a_t: float, m: Moment) -> Tensor:
    """The published estimate: read from the state already moved to u with the noise found at t, then limited.

    At the published stride of two steps it differs from z0_hat by at most 1 %; at a stride of fifty by 28 %.
    """
    return limit((m.z_u - (m.z_t - a_t * m.z0_hat)) / a_t)


class Guidance:
    """The guide of one photograph's descents. Sample 0 of the state is guided, sample 1 (if kept) runs free.

    y: the photograph (1, 3, H, W) in [-1, 1]. show: told the current estimate as an image (1, 3, H, W) in [-1, 1].
    image, loss: of the last step that was looked at. over: whether guidance broke down, and the rounds should end.
    """

    def __init__(
        self,
        prior: Prior,
        y: Tensor,
        task: Task,
        settings: LDRPSSettings,
        perceptual: Perceptual,
        noise: Noise,
        show: Callable[[Callable[[], Tensor]], None],
    ) -> None:
        self.prior, self.task, self.settings, self.show = prior, task, settings, show
        fpam, inside, outside = (generator(noise, DRAWS + i) for i in range(3))
        seen = (y + 1) / 2
        first = None if settings.original else simplest(task.damage, seen)
        self.objective = Objective(seen, task, settings, perceptual, (fpam, inside, outside), first)
        self.crops = generator(noise, DRAWS + 3)
        self.image, self.loss, self.waited, self.count = y, float("nan"), 0, 0
        self.over = False
        for _ in range(settings.warm):
            self._learn(self.objective.y, late=False)

    def __call__(self, m: Moment) -> Tensor | None:
        """One step: F-PAM learns from the estimates; in the second stage sample 0 moves against the loss's gradient."""
        self.count += 1
        self.waited += m.t - m.u
        z_u = m.z_u
        if self.count % self.settings.every == 0 or m.u == 0:
            mixed = self.settings.original
            pulled = self.pull(mixed_estimate(float(self.prior.process.a[m.t]), m) if mixed else m.limited, m.t)
            if pulled is None:
                self.over = True
                return None
            # Published as it is; a pull on the estimate is one on the state times a_u, as the noise in it stays.
            z_u, self.waited = z_u + (1.0 if mixed else float(self.prior.process.a[m.u])) * pulled, 0
        self.show(lambda: self.image)
        return z_u

    def pull(self, z0: Tensor, t: int) -> Tensor | None:
        """How far estimates z0 (1 or 2, C, h, w) made at index t are to move, of their shape; only the first does.

        F-PAM and the discriminators learn from them on the way. None where nothing finite came of it.
        """
        time = (t - 1) / self.prior.process.steps
        late = time < GUIDED
        z0 = z0.detach()
        lead = len(z0) if self.settings.original else 1  # published: the free sample too, for a gradient of nought
        z = z0[:lead].clone().requires_grad_(late)
        x = self._decode(z)
        with torch.no_grad():
            seen = torch.cat([x.detach(), self._decode(z0[lead:])]) if len(z0) > lead else x.detach()
        if not bool(torch.isfinite(seen).all()):
            return None
        self.image = 2 * seen[:1] - 1
        for _ in range(self.settings.inner or max(1, round(self.waited / STRIDE))):
            self._learn(seen, late)
        if not late:
            return torch.zeros_like(z0)
        self.objective.learn_residuals(seen)
        pulled = self._gradient(z, x, time)
        return None if pulled is None else torch.cat([pulled, torch.zeros_like(z0[lead:])])

    def _decode(self, z: Tensor) -> Tensor:
        return (self.prior.decode(z) + 1) / 2

    def _learn(self, seen: Tensor, late: bool) -> None:
        self.objective.adapter.learn(*cropped(seen, self.objective.y, self.settings.crop, self.crops), late)

    def _scale(self) -> float:
        scale = self.task.scale if self.settings.guidance is None else self.settings.guidance
        return scale if self.settings.original else scale * self.objective.y.numel() / SIZE * self.waited / STRIDE

    def _gradient(self, z: Tensor, x: Tensor, time: float) -> Tensor | None:
        """-Z times the loss's gradient in z (1 or 2, C, h, w), x its image; once more with half the Z where it is not finite.

        The factor stands before the backward pass, where in half precision it keeps small gradients and overflows large
        ones. None where neither was finite.
        """
        for factor in (1.0, 0.5):
            loss, scale = self.objective(x, time), factor * self._scale()
            (slope,) = torch.autograd.grad(scale * loss, z)
            if bool(torch.isfinite(slope).all()):
                self.loss = float(loss.detach())
                return self._bounded(z, -slope, scale, time)
            note(
                "the guidance was not finite; "
                + ("half of it is tried" if factor == 1 else "the last good estimate is kept"),
            )
            x = self._decode(z)
        return None

    def _bounded(self, z: Tensor, pull: Tensor, scale: float, time: float) -> Tensor:
        """A pull of at most `trust` times the best one on its line."""
        if not self.settings.trust or not scale:
            return pull
        best = best_step(lambda at: self.objective(self._decode(at), time), z, -pull / scale, self.loss)
        return pull * min(1.0, self.settings.trust * best / scale)
