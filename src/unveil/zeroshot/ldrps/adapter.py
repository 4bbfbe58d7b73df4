"""F-PAM as it is learnt: one Adam step on the estimates of the moment, with a discriminator beside it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.zeroshot.ldrps.discriminator import Adversary
from unveil.zeroshot.ldrps.fpam import FPAM
from unveil.zeroshot.perceptual import Perceptual

RATE, DECAY = 5e-4, 1e-5
_LARGE, _DAMPED = 10.0, 0.2


def cropped(seen: Tensor, y: Tensor, side: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Estimates (B, 3, H, W) and the photograph (1, 3, H, W) beside each, at one random place of this side; 0 is the whole."""
    places = []
    for length in seen.shape[-2:]:
        most = max(length - side, 0) if side else 0
        start = int(torch.randint(most + 1, (), generator=draw)) if most else 0
        places.append(slice(start, start + side if side else length))
    return seen[..., places[0], places[1]], y.expand(len(seen), -1, -1, -1)[..., places[0], places[1]]


class Adapter:
    """F-PAM, its optimiser and its adversary, for one photograph.

    weights: of MSE, perceptual and adversarial loss; losses: the three, weighted, of the last step.
    The target of the first two is F-PAM's own input, after `keep` where one is given: they keep the
    content, and only the adversary pulls towards the degraded photograph.
    """

    def __init__(
        self,
        network: FPAM,
        adversary: Adversary,
        weights: tuple[float, float, float],
        perceptual: Perceptual,
        keep: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.keep = keep or (lambda x: x)
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
        goal = self.keep(x)
        terms = [
            mse * F.mse_loss(phi, goal),
            perceptual * self.perceptual(phi, goal),
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
