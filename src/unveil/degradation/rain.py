"""Rain: streaks of falling drops in front of a light veil."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.draws import check, geometric, severities, uniform
from unveil.degradation.fields import smooth
from unveil.degradation.filtering import convolve

DENSITY = (0.0012, 0.012)
BRIGHTNESS = (0.25, 0.75)
VEIL = (0.01, 0.16)
_REACH = 24


def rain(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
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
    b: int, h: int, w: int, generator: torch.Generator, density: Tensor, angle: Tensor, length: Tensor, width: float
) -> Tensor:
    """(b, 1, h, w) >= 0, a lone streak at most 1: drops at `density` per pixel, drawn out by motion.

    length and width in pixels; angle in radians from vertical, positive towards lower right.
    """
    # A drop outside the frame reaches into it, so they fall on a margin too.
    size = (b, 1, h + 2 * _REACH, w + 2 * _REACH)
    drops = torch.rand(size, generator=generator)
    bright = 0.4 + 0.6 * torch.rand(size, generator=generator)
    seeds = (drops < density).float() * bright
    r = torch.arange(-_REACH, _REACH + 1).float()
    v, u = r.view(1, -1, 1), r.view(1, 1, -1)
    a = angle.view(b, 1, 1)
    along, across = v * a.cos() + u * a.sin(), u * a.cos() - v * a.sin()
    half = length.view(b, 1, 1) / 2
    # The peak is 1, not the sum: a streak is as bright however long it is. Its ends fade, as a drop's exposure does.
    kernel = (1 - (along.abs() / half).pow(4)).clamp_min(0) * torch.exp(-0.5 * (across / width) ** 2)
    return convolve(seeds, kernel)[:, :, _REACH : _REACH + h, _REACH : _REACH + w].clamp_min(0)
