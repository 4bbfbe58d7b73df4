"""Cast shadows: part of the light blocked, the rest tinted, in linear light."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.colour import linear_to_srgb, srgb_to_linear
from unveil.degradation.draws import chance, check, geometric, log_uniform, severities, uniform
from unveil.degradation.fields import smooth
from unveil.degradation.masks import shadow_mask

LIGHT_LEFT = (0.8, 0.12)


def shadow(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
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


def _light_left(level: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3, 1, 1) light left per channel around level (B, 1, 1, 1): bluish, in one of five coloured at random."""
    b = len(level)
    sky = torch.exp(uniform(b, generator, 0.0, 0.5) * torch.tensor([-0.7, 0.0, 0.7]).view(1, 3, 1, 1))
    coloured = torch.exp(0.45 * torch.randn(b, 3, 1, 1, generator=generator).clamp(-1.6, 1.6))
    tint = torch.where(chance(b, generator, 0.2), coloured, sky)
    return (level * tint / tint.mean(1, keepdim=True)).clamp(0.03, 0.97)
