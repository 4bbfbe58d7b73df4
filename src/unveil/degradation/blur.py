"""Blur: out of focus, shaken, or softened by a resampler."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.degradation.colour import linear_to_srgb, srgb_to_linear
from unveil.degradation.draws import check, geometric, log_uniform, severities, uniform
from unveil.degradation.filtering import convolve

SIGMA = (0.4, 3.5)
TYPES = ("gaussian", "anisotropic", "defocus", "motion")
_ODDS = (0.35, 0.25, 0.2, 0.2)
_RADIUS = 13


def blur(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """One blur kernel per sample: Gaussian, anisotropic Gaussian, defocus disk or motion line, borders mirrored.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: sigma 0.4 px (severity 0) to 3.5 px (severity 1),
    geometrically: the kernel's root mean square extent per axis, whatever its type (a disk of radius 2 sigma, a line
    about sqrt(24) sigma long). Defocus and motion mix light and act on linear values; the Gaussians stand for
    softness made in processing and act on sRGB values. Returns y and `severity`, `sigma`, `type` (index into TYPES)
    (B, 1, 1, 1), `kernel` (B, 27, 27) which sums to 1. Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    b = len(x)
    s = severities(b, generator, severity)
    sigma = geometric(s, *SIGMA)
    kind = torch.multinomial(torch.tensor(_ODDS), b, replacement=True, generator=generator)
    kernel = _kernels(kind, sigma.view(b, 1, 1), generator)
    optical = (kind >= 2).view(b, 1, 1, 1).to(x.device)
    y = convolve(torch.where(optical, srgb_to_linear(x), x), kernel)
    y = torch.where(optical, linear_to_srgb(y), y).clamp(0, 1)
    return y, {"severity": s, "sigma": sigma, "type": kind.view(b, 1, 1, 1), "kernel": kernel}


def _kernels(kind: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """(B, K, K) kernels of type kind (B,) and extent sigma (B, 1, 1)."""
    b = len(kind)
    angle = uniform(b, generator, 0.0, math.pi).view(b, 1, 1)
    long = log_uniform(b, generator, 1.5, 4.0).view(b, 1, 1)
    r = torch.arange(-_RADIUS, _RADIUS + 1).float()
    v, u = r.view(1, -1, 1), r.view(1, 1, -1)
    along, across = v * angle.sin() + u * angle.cos(), v * angle.cos() - u * angle.sin()
    # long is the ratio of the axes; both are scaled so that the mean of the two variances stays sigma^2.
    minor = sigma * (2 / (1 + long**2)).sqrt()
    distance = (v**2 + u**2).sqrt()
    # Disk and line get an edge one pixel wide; on a short line that edge is a good part of the extent, hence 0.16 and
    # 0.5.
    half = ((6 * sigma**2 - 3 * 0.16).clamp_min(0).sqrt() - 0.5).clamp_min(0)
    beyond = (along.abs() - half).clamp_min(0)
    kernels = torch.stack(
        [
            torch.exp(-0.5 * (distance / sigma) ** 2),
            torch.exp(-0.5 * ((along / (long * minor)) ** 2 + (across / minor.clamp_min(0.2)) ** 2)),
            (2 * sigma + 0.5 - distance).clamp(0, 1),
            (1 - (beyond**2 + across**2).sqrt()).clamp(0, 1),
        ]
    )
    chosen = kernels[kind, torch.arange(b)]
    return chosen / chosen.sum((1, 2), keepdim=True)
