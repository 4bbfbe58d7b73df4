"""Haze: atmospheric scattering over a procedural depth."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.colour import luminance
from unveil.degradation.draws import chance, check, geometric, log_uniform, severities, uniform
from unveil.degradation.fields import fractal, grid, smooth, smoothstep, stretch
from unveil.degradation.filtering import guided

BETA = (0.3, 2.0)


def haze(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Haze or fog: y = x t + A (1 - t), t = exp(-beta d) (Koschmieder's law).

    x: (B, 3, H, W) float32 in [0, 1]. Applied to display (sRGB) values, as the synthetic sets RESIDE and HSTS do,
    although the physics is linear in light. Strength: beta 0.3 (severity 0) to 2.0 (severity 1), geometrically; depth
    d in [0, 1] is a mixture of a ground plane, smooth fields and a brightness prior for the sky; the mean
    transmission runs from about 0.9 to 0.2. Returns y and `severity`, `beta` (B, 1, 1, 1), `depth` and
    `transmission` (B, 1, H, W), `airlight` (B, 3, 1, 1) in [0.55, 1]; y follows from the last two exactly. Raises
    InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    b, _, h, w = x.shape
    s = severities(b, generator, severity)
    beta = geometric(s, *BETA)
    airlight = _airlight(b, generator)
    depth = _depth(x.cpu(), generator)
    # Fog comes in banks: the density itself varies a little.
    banks = 1 + uniform(b, generator, 0.0, 0.25) * smooth(b, h, w, generator, 3).clamp(-2, 2)
    transmission = torch.exp(-beta * depth * banks.clamp_min(0.2)).to(x.device)
    a = airlight.to(x.device)
    y = x * transmission + a * (1 - transmission)
    return y.clamp(0, 1), {"severity": s, "beta": beta, "depth": depth, "transmission": transmission, "airlight": a}


def _airlight(b: int, generator: torch.Generator) -> Tensor:
    """(b, 3, 1, 1) nearly grey: a level, a shift between blue-grey and yellowish, a little independent jitter."""
    level = uniform(b, generator, 0.66, 1.0)
    warm = 0.035 * torch.randn(b, 1, 1, 1, generator=generator).clamp(-2.5, 2.5)
    tint = torch.cat([warm, 0.2 * warm, -warm], 1) + 0.012 * torch.randn(b, 3, 1, 1, generator=generator).clamp(-2, 2)
    return (level + tint).clamp(0.55, 1.0)


def _depth(x: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1, H, W) in [0, 1], larger is farther; the nearest point lies at 0 to 0.75, the farthest at 1."""
    b, _, h, w = x.shape
    v, u = grid(h, w)
    down = v + uniform(b, generator, -0.35, 0.35) * u
    # A ground plane seen by a camera at height c: depth = c / (distance below the horizon), everything above is far.
    horizon = uniform(b, generator, -0.55, 0.1)
    height = log_uniform(b, generator, 0.05, 0.6)
    plane = stretch(height / ((down - horizon).clamp_min(0) + height))
    hills = stretch(fractal(b, h, w, generator, 2.5, 3, uniform(b, generator, 0.2, 0.6)))
    # Objects stand before a background, and what is bright and high in the picture is often sky or far away. Both
    # follow the outlines of the photograph, through the guided filter, or the haze would glow across them.
    light = luminance(x)
    step = smoothstep(0.5 + smooth(b, h, w, generator, 4) / log_uniform(b, generator, 0.4, 2.0))
    sky = stretch(light - uniform(b, generator, 0.0, 0.8) * down)
    step, sky = guided(light, torch.cat([step, sky], 1)).split(1, 1)
    sky = stretch(sky)
    weights = torch.rand(4, b, 1, 1, 1, generator=generator).pow(2)
    weights = weights * torch.tensor([1.0, 0.6, 0.4, 0.8]).view(4, 1, 1, 1, 1)
    depth = stretch((weights[0] * plane + weights[1] * hills + weights[2] * step + weights[3] * sky) / weights.sum(0))
    depth = torch.where(chance(b, generator, 0.5), depth, depth.pow(uniform(b, generator, 0.6, 1.6)))
    # From a window or a hill all that is seen is far: an even veil over everything, as real haze mostly is.
    nearest = uniform(b, generator, 0.0, 0.75)
    return nearest + (1 - nearest) * depth
