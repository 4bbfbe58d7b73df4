"""F-PAM as it is learnt: one Adam step on the estimates of the moment, with a discriminator beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.zeroshot.ldrps.discriminator import Adversary
from unveil.zeroshot.ldrps.fpam import FPAM
from unveil.zeroshot.perceptual import Perceptual

RATE, DECAY = 5e-4, 1e-5
_LARGE, _DAMPED = 10.0, 0.2


class Adapter:
    """F-PAM, its optimiser and its adversary, for one photograph.

    weights: of MSE, perceptual and adversarial loss; losses: the three, weighted, of the last step.
    The target of the first two is F-PAM's own input: they keep the
    content, and only the adversary pulls towards the degraded photograph.
    """

    def __init__(
        self, network: FPAM, adversary: Adversary, weights: tuple[float, float, float], perceptual: Perceptual
    ) -> None:
        self.network, self.adversary, self.weights, self.perceptual = network, adversary, weights, perceptual
        self.optimiser = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=DECAY)
        self.losses = torch.zeros(3)

    def learn(self, x: Tensor, y: Tensor, late: bool) -> None:
        """One step on estimates x (B, 3, H, W) and the degraded photograph y (B, 3, H, W), both in [0, 1], detached.

        late: in the guided stage, where a weighted perceptual loss over 10 is damped to a fifth, as published.
        """
        self.network.requires_grad_(True)
        phi = self.network(x)
        self.adversary.learn(phi, y)
        mse, perceptual, adversarial = self.weights
        terms = [
            mse * F.mse_loss(phi, x),
            perceptual * self.perceptual(phi, x),
            adversarial * self.adversary.doubt(phi),
        ]
        if late and float(terms[1].detach()) > _LARGE:
            terms[1] = _DAMPED * terms[1]
        losses = torch.stack(terms)
        self.optimiser.zero_grad()
        losses.sum().backward()
        self.optimiser.step()
        self.losses = losses.detach()
        self.network.requires_grad_(False)
