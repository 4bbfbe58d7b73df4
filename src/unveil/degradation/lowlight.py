"""Low light: too few photons, amplified, and stored in eight bits."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.draws import Random, randn
from unveil.degradation.primitives import (
    Severity,
    chance,
    check,
    geometric,
    linear_to_srgb,
    log_uniform,
    quantise,
    separable,
    severities,
    smooth,
    srgb_to_linear,
    uniform,
)

DARKENING = (3.0, 40.0)
GAIN = (1.0, 16.0)
ELECTRONS = 8000.0
"""Electrons at white at unit gain: a small sensor's well, and the scale of the shot noise."""


def lowlight(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """An underexposed photograph: darkened in linear light, noisy, with another tone curve and colour cast, in 8 bits.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: the light is divided by `factor`, from 3 (severity 0) to 40
    (severity 1), geometrically. `gain` in [1, 16] is the sensor's amplification behind that exposure: with N = 8000
    electrons at white, a level l (1 is white) has the noise variance gain l / N + (gain r / N)^2, r = `read`
    electrons. `gamma` bends the response; the result is rounded to 8 bits here, since in the dark few levels are left
    and what follows must see that. Returns y and `severity`, `factor`, `gain`, `read`, `gamma` (B, 1, 1, 1), `cast`
    (B, 3, 1, 1), `illumination` (B, 1, H, W). Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    b, _, h, w = x.shape
    s = severities(b, generator, severity)
    factor = geometric(s, *DARKENING)
    gain, read = log_uniform(b, generator, *GAIN), log_uniform(b, generator, 1.5, 6.0)
    gamma = uniform(b, generator, 0.9, 1.25)
    warm = 0.12 * randn((b, 1, 1, 1), generator).clamp(-2, 2)
    cast = torch.exp(torch.cat([warm, torch.zeros_like(warm), -warm], 1) + 0.04 * randn((b, 3, 1, 1), generator))
    # Lamps leave corners darker than the middle of their light; never brighter than daylight did.
    illumination = torch.exp(uniform(b, generator, 0.0, 0.5) * smooth(b, h, w, generator, 2)).clamp(0.3, 1.8)
    noise = _sensor_noise(b, h, w, generator)

    level = srgb_to_linear(x) * (illumination * cast / factor).clamp_max(1.0).to(x.device)
    variance = (gain / ELECTRONS).to(x.device) * level + (gain * read / ELECTRONS).square().to(x.device)
    level = (level + variance.sqrt() * noise.to(x.device)).clamp(0, 1)
    y = quantise(linear_to_srgb(level).clamp(0, 1).pow(gamma.to(x.device)))
    return y, {
        "severity": s,
        "factor": factor,
        "gain": gain,
        "read": read,
        "gamma": gamma,
        "cast": cast,
        "illumination": illumination,
    }


def _sensor_noise(b: int, h: int, w: int, generator: Random) -> Tensor:
    """(b, 3, h, w) unit normals; in half of the samples correlated between neighbours, as demosaicing leaves them."""
    white = randn((b, 3, h, w), generator)
    side = chance(b, generator, 0.5) * uniform(b, generator, 0.1, 0.45)
    taps = torch.cat([torch.ones_like(side), side], 1).view(b, 2)
    norm = (taps[:, :1].square() + 2 * taps[:, 1:].square()).sqrt()
    return separable(white, taps / norm)


FACTOR = (0.3, 1.0)
"""Down to where simulated low light begins: darker still, and nothing tells the one from the other."""


def exposed(x: Tensor, generator: Random) -> Tensor:
    """Each photograph of x (B, 3, H, W) float32 in [0, 1], sRGB, at 0.3 to 1 times its light (log-uniform).

    Raises InputError for a wrong shape or type.
    """
    check(x)
    factor = log_uniform(len(x), generator, *FACTOR).to(x.device)
    return linear_to_srgb(srgb_to_linear(x) * factor).clamp(0, 1)
