"""Weather: haze by the atmospheric scattering model, and rain.

Haze: atmospheric scattering over a procedural depth.
Rain: streaks of falling drops in front of a light veil.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.draws import Random, rand, randn
from unveil.degradation.primitives import (
    Severity,
    chance,
    check,
    convolve,
    fractal,
    geometric,
    grid,
    guided,
    log_uniform,
    luminance,
    severities,
    smooth,
    smoothstep,
    stretch,
    uniform,
)

DENSITY = (0.0012, 0.012)
BRIGHTNESS = (0.25, 0.75)
VEIL = (0.01, 0.16)
_REACH = 24


def rain(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Streaks screened over the image, y = 1 - (1 - x')(1 - r), x' being x under a thin veil x + v (A - x).

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength (severity 0 to 1): drops per pixel 0.0012 to 0.012, brightness
    of a streak 0.25 to 0.75, veil v 0.01 to 0.16. Streaks within a sample share a direction (up to 35 degrees from
    vertical) and a length; a second, fainter layer of shorter ones lies behind. Returns y and `severity`, `density`,
    `brightness`, `veil`, `angle` (radians), `length` (pixels) (B, 1, 1, 1), `streaks` (B, 1, H, W). Raises InputError
    for a wrong shape, type or severity.
    """
    check(x, severity)
    b, _, h, w = x.shape
    s = severities(b, generator, severity)
    density, brightness = geometric(s, *DENSITY), geometric(s, *BRIGHTNESS)
    veil = geometric(s, *VEIL)
    angle = uniform(b, generator, -0.6, 0.6)
    length = uniform(b, generator, 7.0, 2.0 * _REACH - 4)
    airlight = uniform(b, generator, 0.65, 0.95)
    near = _streaks(b, h, w, generator, density, angle, length, 0.6)
    far = _streaks(b, h, w, generator, 3 * density, angle + 0.04, 0.45 * length, 0.35)
    gusts = (1 + 0.3 * smooth(b, h, w, generator, 3)).clamp(0.3, 1.7)
    streaks = (brightness * gusts * (near + 0.35 * far).clamp(0, 1)).clamp(0, 0.95).to(x.device)
    v = veil.to(x.device)
    y = x + v * (airlight.to(x.device) - x)
    y = (1 - (1 - y) * (1 - streaks)).clamp(0, 1)
    drawn = {"severity": s, "density": density, "brightness": brightness, "veil": veil, "airlight": airlight}
    return y, drawn | {"angle": angle, "length": length, "streaks": streaks}


def _streaks(
    b: int, h: int, w: int, generator: Random, density: Tensor, angle: Tensor, length: Tensor, width: float
) -> Tensor:
    """(b, 1, h, w) >= 0, a lone streak at most 1: drops at `density` per pixel, drawn out by motion.

    length and width in pixels; angle in radians from vertical, positive towards lower right.
    """
    # A drop outside the frame reaches into it, so they fall on a margin too.
    size = (b, 1, h + 2 * _REACH, w + 2 * _REACH)
    drops = rand(size, generator)
    bright = 0.4 + 0.6 * rand(size, generator)
    seeds = (drops < density).float() * bright
    r = torch.arange(-_REACH, _REACH + 1, device=seeds.device).float()
    v, u = r.view(1, -1, 1), r.view(1, 1, -1)
    a = angle.view(b, 1, 1)
    along, across = v * a.cos() + u * a.sin(), u * a.cos() - v * a.sin()
    half = length.view(b, 1, 1) / 2
    # The peak is 1, not the sum: a streak is as bright however long it is. Its ends fade, as a drop's exposure does.
    kernel = (1 - (along.abs() / half).pow(4)).clamp_min(0) * torch.exp(-0.5 * (across / width) ** 2)
    return convolve(seeds, kernel)[:, :, _REACH : _REACH + h, _REACH : _REACH + w].clamp_min(0)


BETA = (0.3, 2.0)


def haze(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
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
    depth = _depth(x.to(generator.device), generator)
    # Fog comes in banks: the density itself varies a little.
    banks = 1 + uniform(b, generator, 0.0, 0.25) * smooth(b, h, w, generator, 3).clamp(-2, 2)
    transmission = torch.exp(-beta * depth * banks.clamp_min(0.2)).to(x.device)
    a = airlight.to(x.device)
    y = x * transmission + a * (1 - transmission)
    return y.clamp(0, 1), {"severity": s, "beta": beta, "depth": depth, "transmission": transmission, "airlight": a}


def _airlight(b: int, generator: Random) -> Tensor:
    """(b, 3, 1, 1) nearly grey: a level, a shift between blue-grey and yellowish, a little independent jitter."""
    level = uniform(b, generator, 0.66, 1.0)
    warm = 0.035 * randn((b, 1, 1, 1), generator).clamp(-2.5, 2.5)
    tint = torch.cat([warm, 0.2 * warm, -warm], 1) + 0.012 * randn((b, 3, 1, 1), generator).clamp(-2, 2)
    return (level + tint).clamp(0.55, 1.0)


def _depth(x: Tensor, generator: Random) -> Tensor:
    """(B, 1, H, W) in [0, 1], larger is farther; the nearest point lies at 0 to 0.75, the farthest at 1."""
    b, _, h, w = x.shape
    v, u = grid(h, w, x.device)
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
    weights = [most * uniform(b, generator).pow(2) for most in (1.0, 0.6, 0.4, 0.8)]
    depth = stretch((weights[0] * plane + weights[1] * hills + weights[2] * step + weights[3] * sky) / sum(weights))
    depth = torch.where(chance(b, generator, 0.5), depth, depth.pow(uniform(b, generator, 0.6, 1.6)))
    # From a window or a hill all that is seen is far: an even veil over everything, as real haze mostly is.
    nearest = uniform(b, generator, 0.0, 0.75)
    return nearest + (1 - nearest) * depth
