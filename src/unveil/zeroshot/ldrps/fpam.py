"""F-PAM: the small network that is learnt while sampling and maps a clean image to the degraded one (LD-RPS, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FPAM(nn.Module):
    """psi(x) = h2(h1(x)) + p h1(x), images (B, 3, H, W) in [0, 1] to about [0, 1], any size; no output activation.

    width: 64 as published (373,577 parameters with p). Weights start from Kaiming's normal law, biases at 0, p at 1.
    """

    def __init__(self, width: int = 64, draw: torch.Generator | None = None) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.01)
        self.h1 = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), act, nn.Conv2d(width, 3, 1))
        self.h2 = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            act,
            nn.Conv2d(width, 2 * width, 3, padding=1),
            act,
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            act,
            nn.Conv2d(4 * width, 3, 1),
        )
        self.p = nn.Parameter(torch.ones(1, 3, 1, 1))
        start(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        first = self.h1(x)
        return self.h2(first) + self.p * first


def start(network: nn.Module, draw: torch.Generator | None) -> None:
    """Kaiming's normal law (fan in, gain sqrt 2) for every convolution, from the generator `draw`; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
