"""Smooth random fields: the raw material of depth, illumination and shadow outlines."""

from __future__ import annotations

import torch
from torch import Tensor

# Mean over position of the sum of squared cubic B-spline weights: what interpolation does to the variance, per axis.
_SPLINE_POWER = 151.0 / 315.0


def grid(h: int, w: int) -> tuple[Tensor, Tensor]:
    """Pixel centres as (down (h, 1), right (1, w)): 0 in the middle, the longer side spans [-1/2, 1/2]."""
    n = max(h, w)
    down, right = torch.arange(h) + 0.5 - h / 2, torch.arange(w) + 0.5 - w / 2
    return down.view(h, 1) / n, right.view(1, w) / n


def _spline(n: int, cells: int) -> Tensor:
    """(n, cells + 3) weights of the uniform cubic B-spline at n pixel centres spread over `cells` intervals."""
    position = (torch.arange(n).float() + 0.5).view(n, 1) * (cells / n)
    d = (position - torch.arange(-1, cells + 2).float().view(1, -1)).abs()
    return (2 - d).clamp_min(0).pow(3) / 6 - 4 * (1 - d).clamp_min(0).pow(3) / 6


def smooth(b: int, h: int, w: int, generator: torch.Generator, cells: float = 3.0) -> Tensor:
    """(b, 1, h, w) smooth Gaussian fields, mean 0, variance 1, about `cells` patches along the longer side.

    A coarse grid of normals under a cubic B-spline, evaluated as two small matrix products.
    """
    n = max(h, w)
    ch, cw = max(1, round(cells * h / n)), max(1, round(cells * w / n))
    knots = torch.randn(b, 1, ch + 3, cw + 3, generator=generator)
    return (_spline(h, ch) @ knots @ _spline(w, cw).T) / _SPLINE_POWER


def fractal(
    b: int, h: int, w: int, generator: torch.Generator, cells: float, octaves: int, roughness: Tensor
) -> Tensor:
    """(b, 1, h, w) sums of `smooth` fields at cells, 2 cells, 4 cells, ..., variance 1.

    roughness: (b, 1, 1, 1) in (0, 1), the amplitude of each octave over the one before.
    """
    total = smooth(b, h, w, generator, cells)
    weight, power = torch.ones_like(roughness), torch.ones_like(roughness)
    for k in range(1, octaves):
        weight = weight * roughness
        power = power + weight**2
        total = total + weight * smooth(b, h, w, generator, cells * 2**k)
    return total / power.sqrt()


def stretch(f: Tensor) -> Tensor:
    """Each sample's field (B, 1, H, W) stretched to [0, 1]; a constant field becomes 1/2."""
    low, high = f.amin((1, 2, 3), keepdim=True), f.amax((1, 2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 1e-6, (f - low) / span.clamp_min(1e-6), torch.full_like(f, 0.5))


def smoothstep(u: Tensor) -> Tensor:
    """0 below 0, 1 above 1, the cubic 3u^2 - 2u^3 between."""
    u = u.clamp(0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)
