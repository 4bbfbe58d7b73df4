"""The guidance loss: how badly an estimate, degraded again by F-PAM, explains the photograph, and how it looks itself."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.zeroshot.ldrps.adapter import Adapter
from unveil.zeroshot.ldrps.discriminator import Adversary, Discriminator
from unveil.zeroshot.ldrps.fpam import FPAM
from unveil.zeroshot.ldrps.settings import LDRPSSettings
from unveil.zeroshot.ldrps.simplest import applied
from unveil.zeroshot.ldrps.tasks import Task
from unveil.zeroshot.perceptual import Perceptual
from unveil.zeroshot.quality import colour_cast, exposure

Draws = tuple[torch.Generator | None, torch.Generator | None, torch.Generator | None]


class Objective:
    """L = MSE(phi, y) + a P(phi, y) + b BCE(D2(x - y), 1) + c Exp(x) + d Col(x), phi = F-PAM(x), and all that is learnt for it.

    y: the photograph (1, 3, H, W) in [0, 1]. draws: of F-PAM's, its discriminator's and D2's first weights. first: the map of colours
    that F-PAM begins as and whose images it is to keep (`simplest`); None begins at random and keeps estimates, as published.
    """

    def __init__(
        self,
        y: Tensor,
        task: Task,
        settings: LDRPSSettings,
        perceptual: Perceptual,
        draws: Draws,
        first: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.y, self.task, self.perceptual = y, task, perceptual
        fpam = FPAM(settings.width, draws[0]).to(y.device)
        inside, outside = (Discriminator(settings.width, draw).to(y.device) for draw in draws[1:])
        keep = None
        if first is not None:
            fpam.begin_as(*first)
            keep = partial(applied, *first)
        self.adapter = Adapter(fpam, Adversary(inside, task.rates[0]), task.adapter, perceptual, keep)
        self.adversary = Adversary(outside, task.rates[1])

    def learn_residuals(self, seen: Tensor) -> None:
        """D2 learns to tell what was taken from the photograph (fake) from what F-PAM adds to estimates (real).

        seen: estimates (1 or 2, 3, H, W) in [0, 1], the guided one first. Where the task has no such term, nothing is learnt.
        """
        if self.task.adversarial:
            with torch.no_grad():
                added = seen - self.adapter.network(seen)
            self.adversary.learn(seen[:1] - self.y, added)

    def __call__(self, x: Tensor, time: float) -> Tensor:
        """The loss of estimates x (1 or 2, 3, H, W) in [0, 1] at share `time` of the path: a scalar, of the first alone."""
        task, phi, x = self.task, self.adapter.network(x)[:1], x[:1]
        loss = F.mse_loss(phi, self.y)
        if task.perceptual:
            loss = loss + task.perceptual * self.perceptual(phi, self.y)
        if task.adversarial:
            loss = loss + task.adversarial * self.adversary.doubt(x - self.y)
        if time < task.quality:
            loss = loss + task.exposure * exposure(x, task.patch) + task.colour * colour_cast(x).mean()
        return loss
