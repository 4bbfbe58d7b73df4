"""Cast shadows: part of the light blocked, the rest tinted, in linear light.

Outlines of cast shadows: signed fields, thresholded to a wanted area with a penumbra.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.degradation.draws import Random, branch, of, pick, randn
from unveil.degradation.primitives import (
    Severity,
    chance,
    check,
    fractal,
    geometric,
    grid,
    linear_to_srgb,
    log_uniform,
    severities,
    smooth,
    smoothstep,
    srgb_to_linear,
    uniform,
)

SHAPES = ("half-plane", "polygon", "ellipse", "blob", "leaves", "bars")
_ODDS = (0.2, 0.2, 0.15, 0.25, 0.12, 0.08)


def shadow_mask(b: int, h: int, w: int, generator: Random, coverage: Tensor) -> Tensor:
    """(b, 1, h, w) in [0, 1], 1 where the light is blocked, over about `coverage` (b, 1, 1, 1) of the area.

    The penumbra is 0.3 to 12 per cent of the longer side wide (at least a pixel) and widens along a random direction,
    as it does with the distance from the object that casts it.
    """
    shape = pick(torch.tensor(_ODDS), b, generator)
    v, u = grid(h, w, generator.device)
    bend = chance(b, generator, 0.6) * uniform(b, generator, 0.0, 0.06)
    p = v + bend * fractal(b, h, w, generator, 4, 2, torch.full_like(bend, 0.5))
    q = u + bend * fractal(b, h, w, generator, 4, 2, torch.full_like(bend, 0.5))
    field = torch.empty_like(p)
    outlines = branch(generator, 0)
    for k, draw in enumerate((_half_plane, _polygon, _ellipse, _blob, _leaves, _bars)):
        chosen = (shape == k).nonzero().flatten()
        if len(chosen):
            here = chosen.to(p.device)
            field[here] = draw(p[here], q[here], of(outlines, chosen))
    angle = uniform(b, generator, 0.0, 2 * math.pi)
    ramp = v * angle.sin() + u * angle.cos()
    width = log_uniform(b, generator, 0.003, 0.12) * torch.exp(uniform(b, generator, 0.0, 3.0) * ramp)
    width = width.clamp_min(1.0 / max(h, w))
    return smoothstep((field - _threshold(field, coverage)) / width + 0.5)


def _threshold(field: Tensor, coverage: Tensor) -> Tensor:
    """(B, 1, 1, 1) value above which `coverage` of each field (B, 1, H, W) lies, from a thinned grid."""
    step_h, step_w = max(1, field.shape[2] // 48), max(1, field.shape[3] // 48)
    values = field[:, :, ::step_h, ::step_w].flatten(1).sort(1).values
    rank = ((1 - coverage.view(-1, 1)) * (values.shape[1] - 1)).round().long()
    return values.gather(1, rank).view(-1, 1, 1, 1)


# Each of these: warped coordinates p (down), q (right), both (n, 1, H, W) in units of the longer side, to a field (n,
# 1, H, W) that grows inwards at about one unit per unit of length, so that a penumbra's width means the same for all.


def _half_plane(p: Tensor, q: Tensor, generator: Random) -> Tensor:
    angle = uniform(len(p), generator, 0.0, 2 * math.pi)
    return p * angle.sin() + q * angle.cos()


def _polygon(p: Tensor, q: Tensor, generator: Random) -> Tensor:
    n, sides = len(p), 5
    cp, cq = uniform(n, generator, -0.3, 0.3), uniform(n, generator, -0.3, 0.3)
    start = uniform(n, generator, 0.0, 2 * math.pi)
    inside = torch.full_like(p, math.inf)
    for k in range(sides):
        angle = start + 2 * math.pi * (k + uniform(n, generator, -0.35, 0.35)) / sides
        # Some sides lie far out: triangles, strips and corners occur as well.
        distance = torch.where(chance(n, generator, 0.25), 1.0, uniform(n, generator, 0.02, 0.35))
        inside = torch.minimum(inside, distance - ((p - cp) * angle.sin() + (q - cq) * angle.cos()))
    return inside


def _ellipse(p: Tensor, q: Tensor, generator: Random) -> Tensor:
    n = len(p)
    cp, cq = p - uniform(n, generator, -0.35, 0.35), q - uniform(n, generator, -0.35, 0.35)
    angle, long = uniform(n, generator, 0.0, math.pi), log_uniform(n, generator, 1.0, 3.5)
    along, across = cp * angle.sin() + cq * angle.cos(), cp * angle.cos() - cq * angle.sin()
    return -(along.pow(2) / long + across.pow(2) * long).sqrt()


def _blob(p: Tensor, q: Tensor, generator: Random) -> Tensor:
    n, h, w = len(p), p.shape[2], p.shape[3]
    tilt = _half_plane(p, q, generator) * uniform(n, generator, 0.0, 2.0)
    return fractal(n, h, w, generator, 3, 3, uniform(n, generator, 0.15, 0.5)) / 6 + tilt


def _leaves(p: Tensor, q: Tensor, generator: Random) -> Tensor:
    n, h, w = len(p), p.shape[2], p.shape[3]
    crown = smooth(n, h, w, generator, 2) / 6
    fine = torch.where(chance(n, generator, 0.5), smooth(n, h, w, generator, 10), smooth(n, h, w, generator, 18))
    return crown + uniform(n, generator, 0.04, 0.15) * fine


def _bars(p: Tensor, q: Tensor, generator: Random) -> Tensor:
    n = len(p)
    rate = 2 * math.pi * log_uniform(n, generator, 1.2, 7.0)
    return (_half_plane(p, q, generator) * rate + uniform(n, generator, 0.0, 2 * math.pi)).sin() / rate


LIGHT_LEFT = (0.8, 0.12)


def shadow(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Hard and soft cast shadows: in linear light y = x (1 - m (1 - a)), m the mask, a the light left in each channel.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: the light left, averaged over the channels, from 0.8 (severity
    0) to 0.12 (severity 1), geometrically; a free draw is the 0.7th power of a uniform one, since real shadows are
    mostly dark (on the 157 SRD training pairs the median is 0.27). Masks cover 8 to 60 per cent (log-uniform); three
    in ten samples carry a second one. The light left is often bluish (skylight), sometimes strongly coloured (light
    through or off coloured things). A shadow never brightens. Returns y and `severity` (B, 1, 1, 1), `mask` (B, 1, H,
    W), `attenuation` (B, 3, 1, 1) and `light` (B, 3, H, W), the factor in linear light. Raises InputError for a wrong
    shape, type or severity.
    """
    check(x, severity)
    b, _, h, w = x.shape
    s = severities(b, generator, severity)
    s = s.pow(0.7) if severity is None else s
    left = _light_left(geometric(s, *LIGHT_LEFT), generator)
    mask = shadow_mask(b, h, w, generator, log_uniform(b, generator, 0.08, 0.6))
    second = shadow_mask(b, h, w, generator, uniform(b, generator, 0.08, 0.3))
    # A second caster under the same sun blocks nothing more where the first already does.
    mask = torch.maximum(mask, second * chance(b, generator, 0.3))
    # Light bounced off the surroundings differs from place to place.
    bounce = (uniform(b, generator, 0.0, 0.25) * smooth(b, h, w, generator, 2)).clamp(-0.45, 0.45)
    left_here = (left * torch.exp(bounce)).clamp(0.02, 0.98)
    light = (1 - mask * (1 - left_here)).to(x.device)
    y = linear_to_srgb(srgb_to_linear(x) * light).clamp(0, 1)
    # Rounding in the two transfer functions must not brighten an unshaded pixel by its last bit.
    y = torch.minimum(y, x)
    return y, {"severity": s, "mask": mask, "attenuation": left, "light": light}


def _light_left(level: Tensor, generator: Random) -> Tensor:
    """(B, 3, 1, 1) light left per channel around level (B, 1, 1, 1): bluish, in one of five coloured at random."""
    b = len(level)
    sky = torch.exp(
        uniform(b, generator, 0.0, 0.5) * torch.linspace(-0.7, 0.7, 3, device=level.device).view(1, 3, 1, 1)
    )
    coloured = torch.exp(0.45 * randn((b, 3, 1, 1), generator).clamp(-1.6, 1.6))
    tint = torch.where(chance(b, generator, 0.2), coloured, sky)
    return (level * tint / tint.mean(1, keepdim=True)).clamp(0.03, 0.97)
