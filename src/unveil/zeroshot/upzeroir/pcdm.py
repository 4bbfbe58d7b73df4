"""PCDM, the physically consistent degradation module: a small network that degrades an image, told how its latents are distributed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.zeroshot.ldrps.fpam import start
from unveil.zeroshot.ldrps.simplest import applied
from unveil.zeroshot.upzeroir.fitting import Fit


class PCDM(nn.Module):
    """phi(x) = h2(m) + p m with m = (1 + g) h1(x) + b and [g, b] = l(ln alpha, ln sigma); images (1, 3, H, W) in [0, 1] to the same.

    h1(x) = A x + o + conv1x1(leaky_relu(conv3x3(x))) and h2, four convolutions, have LD-RPS's widths: 64 and 64, 128, 256. A and o are a
    fixed map of colours, the identity unless `begin_as` names another. Every branch ends in a layer of zeros and p starts at 1, so
    that a new module is that map. Weights that the optimiser moves by 1e-5 a step then say something from the first step on, where a
    random network would stay random.

    groups: how many laws the latents are described by: l takes 2 * groups numbers. width: channels of the first layers.
    generator: of the random first layers.
    """

    matrix: Tensor
    offset: Tensor

    def __init__(self, groups: int, generator: torch.Generator, width: int = 64) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * groups, 6)
        self.h1 = nn.ModuleList([nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 1)])
        widths = (3, width, 2 * width, 4 * width)
        self.h2 = nn.ModuleList([nn.Conv2d(i, o, 3, padding=1) for i, o in zip(widths, widths[1:], strict=False)])
        self.h2.append(nn.Conv2d(4 * width, 3, 1))
        self.skip = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.begin_as(torch.eye(3), torch.zeros(3))
        start(self, generator)
        for last in (self.linear, self.h1[-1], self.h2[-1]):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def begin_as(self, matrix: Tensor, offset: Tensor) -> None:
        """Degrade first by matrix @ x + offset on colours, (3, 3) and (3,); what is learnt comes on top."""
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, x: Tensor, law: Fit) -> Tensor:
        told = torch.cat([law.alpha.log(), law.sigma.log()], 1).to(x)
        gain, offset = self.linear(told)[:, :, None, None].chunk(2, 1)
        m = (1 + gain) * self._through(self.h1, x, applied(self.matrix, self.offset, x)) + offset
        return self._through(self.h2, m, self.skip * m)

    @staticmethod
    def _through(layers: nn.ModuleList, x: Tensor, beside: Tensor) -> Tensor:
        for layer in list(layers)[:-1]:
            x = F.leaky_relu(layer(x))
        return beside + layers[-1](x)
