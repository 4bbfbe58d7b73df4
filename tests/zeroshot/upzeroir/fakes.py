"""Judges that say what they are told to, and a latent prior small enough to be read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from gaussian import GaussianPrior, ddpm
from torch import Tensor
from torch.nn import functional as F


class Scripted:
    """A judge that gives these scores in turn, the last one for ever, and keeps what it was shown."""

    def __init__(self, *scores: float) -> None:
        self.scores, self.seen = list(scores), list[Tensor]()

    def __call__(self, image: Tensor) -> float:
        self.seen.append(image)
        return self.scores[min(len(self.seen), len(self.scores)) - 1]


def smooth(side: int | Sequence[int] = 16, steps: int = 100, sd: float = 0.5) -> GaussianPrior:
    """Pictures whose Fourier coefficients are independent with a 1/f amplitude: what natural images have in common."""
    height, width = (side, side) if isinstance(side, int) else side
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None]
    power = 1 / ((rows**2 + columns**2).sqrt() + 1 / max(height, width)) ** 3
    variance = (power / power.mean() * sd**2).expand(3, height, width)

    def into(x: Tensor) -> Tensor:
        return torch.fft.fft2(x, norm="ortho")

    def back(c: Tensor) -> Tensor:
        return torch.fft.ifft2(c, norm="ortho").real

    return GaussianPrior(torch.zeros(3, height, width), variance, into, back, process=ddpm(steps))


class Latent(GaussianPrior):
    """Four latents of half the size: colours averaged over 2 x 2 pixels, and their luma's slope."""

    def __init__(self, steps: int = 100) -> None:
        super().__init__(torch.zeros(4, 1, 1), torch.full((4, 1, 1), 0.25), process=ddpm(steps))
        self.channels, self.factor, self.multiple_of = 4, 2, 4

    def encode(self, x: Tensor) -> Tensor:
        luma = x.mean(1, keepdim=True)
        slope = F.avg_pool2d(luma[..., :, 1:] - luma[..., :, :-1], 2, ceil_mode=True)
        return torch.cat([F.avg_pool2d(x, 2), slope], 1)

    def decode(self, z: Tensor) -> Tensor:
        ramp = torch.tensor([-0.5, 0.5]).repeat(z.shape[-1])
        return F.interpolate(z[:, :3], scale_factor=2) + F.interpolate(z[:, 3:], scale_factor=2) * ramp
