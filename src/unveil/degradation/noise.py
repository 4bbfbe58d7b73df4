"""Noise: strong and synthetic, or mild as a camera leaves it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.degradation.colour import srgb_to_linear
from unveil.degradation.draws import check, geometric, log_uniform, severities, uniform
from unveil.degradation.filtering import separable

SIGMA = (1 / 255, 60 / 255)
TYPES = ("colour", "grey", "camera", "correlated", "blotched", "demosaiced")
_ODDS = (0.3, 0.08, 0.12, 0.17, 0.08, 0.25)


def noise(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Additive noise of standard deviation sigma, of five types, then clipped to [0, 1].

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: sigma 1/255 (severity 0) to 60/255 (severity 1), geometrically,
    so that a free draw is log-uniform and mild noise is common; it is the root mean square over the image before
    clipping, for every type: colour (white Gaussian), grey (the same in all channels), camera (shot and read noise
    seen through the sRGB curve), correlated (white noise blurred, as by demosaicing, reduction or a weak denoiser),
    blotched (fine noise plus coarse chroma noise), demosaiced (shot and read noise of a Bayer sensor, interpolated, mixed by the
    camera's colour matrix and seen through the tone curve). Returns y and `severity`, `sigma`, `type` (index into TYPES) (B,
    1, 1, 1). Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    b, _, h, w = x.shape
    s = severities(b, generator, severity)
    sigma = geometric(s, *SIGMA)
    kind = torch.multinomial(torch.tensor(_ODDS), b, replacement=True, generator=generator)
    n = torch.randn(b, 3, h, w, generator=generator)
    for k, shape in enumerate((None, _grey, _camera, _correlated, _blotched, _demosaiced)):
        chosen = (kind == k).nonzero().flatten()
        if shape is not None and len(chosen):
            n[chosen] = shape(n[chosen], x[chosen.to(x.device)].cpu(), generator)
    y = (x + (sigma * n).to(x.device)).clamp(0, 1)
    return y, {"severity": s, "sigma": sigma, "type": kind.view(b, 1, 1, 1)}


# Each of these: white normals n and the image x, both (B, 3, H, W), to noise of unit variance.


def _grey(n: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    return n[:, :1].expand_as(n)


def _camera(n: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    b = len(n)
    light = srgb_to_linear(x)
    # Var of the stored value = Var of the light times the squared slope of the tone curve, here l^(1/2.4 - 1)
    # softened near black as real tone curves are.
    slope = (light + uniform(b, generator, 0.01, 0.08)).pow(1 / 2.4 - 1)
    channel = torch.exp(0.25 * torch.randn(b, 3, 1, 1, generator=generator))
    std = slope * (light + log_uniform(b, generator, 0.003, 0.1)).sqrt() * channel
    std = std / std.square().mean((1, 2, 3), keepdim=True).sqrt()
    return std * _blur(n, uniform(b, generator, 0.0, 0.6))


def _correlated(n: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    return _blur(n, uniform(len(n), generator, 0.4, 1.2))


def _blotched(n: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    b, _, h, w = n.shape
    coarse = torch.randn(b, 3, (h + 7) // 4, (w + 7) // 4, generator=generator)
    coarse = coarse - coarse.mean(1, keepdim=True)
    coarse = F.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)[:, :, 2 : 2 + h, 2 : 2 + w]
    # Taking the mean of the channels away leaves 2/3 of the variance; bilinear interpolation 4x leaves
    # (21/32)^2 of that.
    coarse = coarse / (2 / 3) ** 0.5 / (21 / 32)
    share = uniform(b, generator, 0.2, 0.8)
    fine = _blur(n, uniform(b, generator, 0.0, 0.7))
    return (1 - share).sqrt() * fine + share.sqrt() * coarse


_BAYER = torch.tensor([[[[1.0, 0], [0, 0]], [[0, 1.0], [1.0, 0]], [[0, 0], [0, 1.0]]]]).view(1, 3, 2, 2)
_CROSS = torch.tensor([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
_SQUARE = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4


def _demosaiced(n: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of each photosite, bilinearly interpolated: correlated between neighbours, and in green otherwise than in red and blue."""
    b, _, h, w = n.shape
    light = srgb_to_linear(x)
    mosaic = _BAYER.repeat(1, 1, h // 2 + 1, w // 2 + 1)[:, :, :h, :w]
    gain = torch.cat([uniform(b, generator, lo, hi) for lo, hi in ((1.2, 2.4), (1.0, 1.0001), (1.2, 2.2))], 1)
    site = n[:, :1] * mosaic * gain * (light / gain + log_uniform(b, generator, 0.002, 0.08)).sqrt()
    kernel = torch.stack([_SQUARE, _CROSS, _SQUARE])[:, None]
    full = F.conv2d(
        F.pad(site, (1, 1, 1, 1), mode="reflect") if min(h, w) > 1 else F.pad(site, (1, 1, 1, 1)), kernel, groups=3
    )
    # A camera's colour matrix takes from each channel what the others have in common with it, and adds their noise.
    cross = uniform(b, generator, 0.0, 0.35)
    full = full * (1 + 2 * cross) - cross * (full.sum(1, keepdim=True) - full)
    slope = (light + uniform(b, generator, 0.01, 0.08)).pow(1 / 2.4 - 1)
    seen = _blur(full, uniform(b, generator, 0.0, 0.5)) * slope
    return seen / seen.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-8)


def _blur(n: Tensor, sigma: Tensor) -> Tensor:
    """White noise (B, 3, H, W) under a Gaussian of sigma (B, 1, 1, 1) pixels, brought back to unit variance."""
    d = torch.arange(4).float().view(1, 4)
    taps = torch.exp(-0.5 * (d / sigma.view(-1, 1).clamp_min(0.05)).square())
    power = taps[:, :1].square() + 2 * taps[:, 1:].square().sum(1, keepdim=True)
    return separable(n, taps / power.sqrt())
