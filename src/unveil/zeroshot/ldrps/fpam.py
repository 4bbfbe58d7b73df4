"""F-PAM: the small network that is learnt while sampling and maps a clean image to the degraded one (LD-RPS, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.01
"""Of the rectifiers below 0."""


class FPAM(nn.Module):
    """psi(x) = h2(h1(x)) + p h1(x), images (B, 3, H, W) in [0, 1] to about [0, 1], any size; no output activation.

    width: 64 as published (373,577 parameters with p). Weights start from Kaiming's normal law, biases at 0, p at 1; `begin_as` makes
    it a map of colours instead.
    """

    def __init__(self, width: int = 64, draw: torch.Generator | None = None) -> None:
        super().__init__()
        act = nn.LeakyReLU(SLOPE)
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

    @torch.no_grad()
    def begin_as(self, matrix: Tensor, offset: Tensor) -> None:
        """Make it x -> matrix @ x + offset on colours, (3, 3) and (3,), exactly; the other weights stay, and learn from there.

        Each colour passes h1's kink as a pair of opposite signs; h2 ends in zeros. Needs a width of 6.
        """
        enter, leave, end = self.h1[0], self.h1[2], self.h2[-1]
        assert isinstance(enter, nn.Conv2d)
        assert isinstance(leave, nn.Conv2d)
        assert isinstance(end, nn.Conv2d)
        for layer in (leave, end):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        enter.weight[:6] = 0
        for c in range(3):
            for k, sign in ((2 * c, 1.0), (2 * c + 1, -1.0)):
                enter.weight[k, c, 1, 1] = sign
                leave.weight[:, k, 0, 0] = sign * matrix[:, c] / (1 + SLOPE)
        assert leave.bias is not None
        leave.bias.copy_(offset)
        self.p.fill_(1.0)


def start(network: nn.Module, draw: torch.Generator | None) -> None:
    """Kaiming's normal law (fan in, gain sqrt 2) for every convolution, from the generator `draw`; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
