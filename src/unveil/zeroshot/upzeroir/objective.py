"""What guides one image: its PCDM, learnt on the way, and J_total with its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.diffusion.noise import Noise
from unveil.zeroshot.ldrps.discriminator import Adversary, Discriminator
from unveil.zeroshot.ldrps.simplest import simplest
from unveil.zeroshot.ldrps.tasks import Task
from unveil.zeroshot.line import best_step
from unveil.zeroshot.perceptual import perceptual
from unveil.zeroshot.prior import Prior
from unveil.zeroshot.quality import colour_cast, exposure
from unveil.zeroshot.recurrence import generator
from unveil.zeroshot.upzeroir.alignment import deg_loss, laws
from unveil.zeroshot.upzeroir.fitting import Fit
from unveil.zeroshot.upzeroir.pcdm import PCDM
from unveil.zeroshot.upzeroir.settings import UPZeroIRSettings

DRAWS = 1000
"""Draws of noise from here on are those of the networks that start at random; the descents' are below."""


class Objective:
    """J_total of estimates of one photograph, whose own `latents` (1, C, h, w) are encoded once.

    y: the photograph (1, 3, H, W) in [-1, 1], sides multiples of the prior's. task: the weights of the terms beside J_deg.
    rate: of Adam on PCDM, per step. value: of the last step.
    """

    def __init__(
        self, prior: Prior, y: Tensor, task: Task, settings: UPZeroIRSettings, rate: float, noise: Noise
    ) -> None:
        self.prior, self.y, self.task, self.settings, self.value = prior, (y + 1) / 2, task, settings, float("nan")
        with torch.no_grad():
            self.latents = prior.encode(y)
            self.target = laws(self.latents, settings.grouping, settings.location)
        self.pcdm = PCDM(self.target.alpha.shape[1], generator(noise, DRAWS), settings.width)
        if settings.first == "simplest":
            self.pcdm.begin_as(*simplest(task.damage, self.y.cpu()))
        self.pcdm.to(y.device)
        self.optimiser = torch.optim.Adam(self.pcdm.parameters(), lr=rate)
        self.distance = perceptual(settings.vgg, str(y.device)) if task.perceptual else None
        self.adversary = None
        if task.adversarial:
            judge = Discriminator(settings.width, generator(noise, DRAWS + 1)).to(y.device)
            self.adversary = Adversary(judge, task.rates[1])

    def told(self, z0_hat: Tensor) -> Fit:
        """The law that PCDM is told of: of z0_hat (1, C, h, w), or the photograph's. No gradient flows through it."""
        if self.settings.embed == "input":
            return self.target
        with torch.no_grad():
            return laws(z0_hat, self.settings.grouping, self.settings.location)

    def fidelity(self, phi: Tensor, aligned: bool = True) -> Tensor:
        """J_mse, J_pse and, where `aligned`, J_deg, weighted, of the re-degraded estimate phi (1, 3, H, W) in [0, 1]; a scalar."""
        value = (phi - self.y).square().mean()
        if aligned and self.settings.deg:
            z_phi = self.prior.encode(2 * phi - 1)
            how = {k: getattr(self.settings, k) for k in ("grouping", "location", "direction", "bound")}
            value = value + self.settings.deg * deg_loss(z_phi, self.target, **how).sum()
        if self.distance is not None:
            value = value + self.task.perceptual * self.distance(phi, self.y)
        return value

    def quality(self, x: Tensor) -> Tensor:
        """Q, weighted: exposure and colour of the estimate x (1, 3, H, W) in [0, 1] itself; a scalar."""
        return self.task.exposure * exposure(x, self.task.patch) + self.task.colour * colour_cast(x).sum()

    def adversarial(self, x: Tensor, phi: Tensor) -> Tensor:
        """J_adv, weighted: what restoration took away, x - y, should pass for what PCDM adds, x - phi(x); a scalar."""
        return x.new_zeros(()) if self.adversary is None else self.task.adversarial * self.adversary.doubt(x - self.y)

    def total(self, x: Tensor, phi: Tensor, share: float) -> Tensor:
        """J_total of the estimate x and what PCDM makes of it, both (1, 3, H, W) in [0, 1]; a scalar."""
        value = self.fidelity(phi, share <= self.settings.align_below) + self.adversarial(x, phi)
        return value + self.quality(x) if share <= self.task.quality else value

    def at(self, z0_hat: Tensor, share: float) -> Tensor:
        """J_total of an estimate (1, C, h, w), from which nothing is learnt."""
        x = (self.prior.decode(z0_hat) + 1) / 2
        return self.total(x, self.pcdm(x, self.told(z0_hat)), share)

    def pull(self, z0_hat: Tensor, wrt: Tensor | None, scale: float, share: float) -> tuple[Tensor, Tensor | None]:
        """The estimate's image (1, 3, H, W) in [-1, 1], detached, and the gradient of scale * J_total with respect to `wrt`.

        Where that is the estimate itself, the gradient's length is at most `trust` times the step that makes J_total least on its line.

        wrt: z0_hat itself, or the state that it was computed from; None asks for no gradient, and the decoder is not
        differentiated. share: of the path that is still ahead. The scale stands before the backward pass, where in half
        precision it keeps small gradients. The same pass moves PCDM one step towards the photograph (Adam sees the scale
        in its epsilon only); a step whose gradient is not finite is left out.
        """
        with torch.set_grad_enabled(wrt is not None):
            x = (self.prior.decode(z0_hat) + 1) / 2
        with torch.enable_grad():
            phi = self.pcdm(x, self.told(z0_hat))
            if self.adversary is not None and wrt is not None:
                self.adversary.learn(x - self.y, x - phi)
            value = self.fidelity(phi, share <= self.settings.align_below) if wrt is None else self.total(x, phi, share)
            own = list(self.pcdm.parameters())
            asked = own if wrt is None else [*own, wrt]
            grads = list(torch.autograd.grad(value if wrt is None else scale * value, asked))
        self.value = float(value.detach())
        pulled = grads.pop() if wrt is not None else None
        if pulled is not None and wrt is z0_hat and self.settings.trust and bool(torch.isfinite(pulled).all()):
            best = best_step(lambda z: self.at(z, share), z0_hat, pulled / scale, self.value)
            pulled = pulled * min(1.0, self.settings.trust * best / scale)
        if all(bool(torch.isfinite(g).all()) for g in grads):
            for parameter, grad in zip(own, grads, strict=True):
                parameter.grad = grad
            self.optimiser.step()
        return 2 * x.detach() - 1, pulled
