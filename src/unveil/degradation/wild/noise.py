"""The two noises of the wild pipeline: white Gaussian, and Poisson scaled down; each in colour or grey. One picture each."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.degradation.colour import quantise

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey version that grey Poisson noise is drawn for (Rec. 601)."""

_EXACT_BELOW = 16.0


def add_gaussian(picture: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """picture (3, h, w) + sigma noise, clipped to [0, 1]; noise: standard normal, (3, h, w) or (1, h, w) for grey."""
    return torch.add(picture, noise, alpha=sigma).clamp_(0, 1)


def poisson_rate(picture: Tensor, grey: bool) -> tuple[Tensor, int]:
    """What the photon counts are drawn for: 8-bit levels (3, h, w) or, grey, (1, h, w), and the photons at white.

    White is the number of different levels, rounded up to a power of two: the fewer tones, the stronger the noise.
    """
    if grey:
        picture = sum(w * picture[c : c + 1] for c, w in enumerate(GREY))  # type: ignore[assignment]
    levels = quantise(picture)
    different = int(torch.bincount((levels * 255).round().long().flatten(), minlength=256).count_nonzero())
    return levels, 2 ** math.ceil(math.log2(different))


def add_poisson(picture: Tensor, counts: Tensor, levels: Tensor, photons: int, scale: float) -> Tensor:
    """picture (3, h, w) + scale (counts / photons - levels), clipped; counts: Poisson draws of rate levels * photons."""
    return torch.add(picture, counts / photons - levels, alpha=scale).clamp_(0, 1)


def poisson(rate: Tensor, generator: torch.Generator) -> Tensor:
    """Poisson draws of any rate >= 0, three times as fast as torch's where rates are large.

    From 16 up a standard normal through the Cornish-Fisher expansion of the quantile, to third order (the distance to
    Poisson in total variation is under 0.001 there); below, torch's own draws.
    """
    z = torch.randn(rate.shape, generator=generator, device=generator.device).to(rate.device)
    # Rounding to whole numbers adds 1/12 to the variance.
    root = (rate - 1 / 12).clamp_min(1.0).sqrt()
    squared = z * z
    skew = (z * (1 - squared)).div_(72 * root)
    out = skew.add_(squared, alpha=1 / 6).add_(rate - (0.5 + 1 / 6)).addcmul_(root, z).ceil_().clamp_min_(0)
    dark = rate < _EXACT_BELOW
    if dark.any():
        out[dark] = torch.poisson(rate[dark].to(generator.device), generator=generator).to(rate.device)
    return out
