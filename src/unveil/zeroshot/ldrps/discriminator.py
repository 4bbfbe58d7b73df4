"""A patch discriminator that is learnt beside what it judges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.zeroshot.ldrps.fpam import start


class Discriminator(nn.Module):
    """Three strided convolutions and a 1 x 1: images (B, 3, H, W) to one logit per patch of 8 pixels (published width 64)."""

    def __init__(self, width: int = 64, draw: torch.Generator | None = None) -> None:
        super().__init__()
        channels = (3, width, 2 * width, 4 * width)
        layers = []
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.01)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 1))
        start(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Adversary:
    """A discriminator with its own Adam. Cross-entropy on logits: what sigmoid and its logarithm give, without overflow."""

    def __init__(self, network: Discriminator, rate: float) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=rate)

    def learn(self, fake: Tensor, real: Tensor) -> None:
        """One step towards telling `real` (1) from `fake` (0); both (B, 3, H, W), no gradient flows back into them."""
        self.network.requires_grad_(True)
        on_fake, on_real = self.network(fake.detach()), self.network(real.detach())
        loss = F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        loss = loss + F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.network.requires_grad_(False)

    def doubt(self, x: Tensor) -> Tensor:
        """How far x is from passing for real: cross-entropy against 1, a scalar, differentiable in x alone."""
        judged = self.network(x)
        return F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
