"""What optics, sensor and storage do: blur, noise, JPEG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unveil.degradation.compression import compressed
from unveil.degradation.draws import Random, branch, of, pick, rand, randn, whole
from unveil.degradation.primitives import (
    Severity,
    chance,
    check,
    convolve,
    geometric,
    linear_to_srgb,
    log_uniform,
    luminance,
    separable,
    severities,
    srgb_to_linear,
    uniform,
)
from unveil.errors import InputError

BLUR_SIGMA = (0.4, 3.5)
BLUR_TYPES = ("gaussian", "anisotropic", "defocus", "motion")
_BLUR_ODDS = (0.35, 0.25, 0.2, 0.2)
_RADIUS = 13


def blur(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """One blur kernel per sample: Gaussian, anisotropic Gaussian, defocus disk or motion line, borders mirrored.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: sigma 0.4 px (severity 0) to 3.5 px (severity 1),
    geometrically: the kernel's root mean square extent per axis, whatever its type (a disk of radius 2 sigma, a line
    about sqrt(24) sigma long). Defocus and motion mix light and act on linear values; the Gaussians stand for
    softness made in processing and act on sRGB values. Returns y and `severity`, `sigma`, `type` (index into BLUR_TYPES)
    (B, 1, 1, 1), `kernel` (B, 27, 27) which sums to 1. Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    b = len(x)
    s = severities(b, generator, severity)
    sigma = geometric(s, *BLUR_SIGMA)
    kind = pick(torch.tensor(_BLUR_ODDS), b, generator).to(sigma.device)
    kernel = _kernels(kind, sigma.view(b, 1, 1), generator)
    optical = (kind >= 2).view(b, 1, 1, 1).to(x.device)
    y = convolve(torch.where(optical, srgb_to_linear(x), x), kernel)
    y = torch.where(optical, linear_to_srgb(y), y).clamp(0, 1)
    return y, {"severity": s, "sigma": sigma, "type": kind.view(b, 1, 1, 1), "kernel": kernel}


def _kernels(kind: Tensor, sigma: Tensor, generator: Random) -> Tensor:
    """(B, K, K) kernels of type kind (B,) and extent sigma (B, 1, 1)."""
    b = len(kind)
    angle = uniform(b, generator, 0.0, math.pi).view(b, 1, 1)
    long = log_uniform(b, generator, 1.5, 4.0).view(b, 1, 1)
    r = torch.arange(-_RADIUS, _RADIUS + 1, device=sigma.device).float()
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
    chosen = kernels[kind, torch.arange(b, device=kind.device)]
    return chosen / chosen.sum((1, 2), keepdim=True)


NOISE_SIGMA = (1 / 255, 60 / 255)
NOISE_TYPES = ("colour", "grey", "camera", "correlated", "blotched", "demosaiced", "grain")
_NOISE_ODDS = (0.26, 0.06, 0.11, 0.15, 0.07, 0.22, 0.13)


def noise(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Additive noise of standard deviation sigma, of seven types, then clipped to [0, 1].

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: sigma 1/255 (severity 0) to 60/255 (severity 1), geometrically,
    so that a free draw is log-uniform and mild noise is common; it is the root mean square over the image before
    clipping, for every type: colour (white Gaussian), grey (the same in all channels), camera (shot and read noise
    seen through the sRGB curve), correlated (white noise blurred, as by demosaicing, reduction or a weak denoiser),
    blotched (fine noise plus coarse chroma noise), demosaiced (shot and read noise of a Bayer sensor, interpolated, mixed by the
    camera's colour matrix and seen through the tone curve), grain (of film and prints: nearly the same in all channels, a pixel
    or two wide, strongest in the middle tones). Returns y and `severity`, `sigma`, `type` (index into NOISE_TYPES) (B,
    1, 1, 1). Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    b, _, h, w = x.shape
    s = severities(b, generator, severity)
    sigma = geometric(s, *NOISE_SIGMA)
    kind = pick(torch.tensor(_NOISE_ODDS), b, generator)
    n = randn((b, 3, h, w), generator)
    shapes = branch(generator, 0)
    for k, shape in enumerate((None, _grey, _camera, _correlated, _blotched, _demosaiced, _grain)):
        chosen = (kind == k).nonzero().flatten()
        if shape is not None and len(chosen):
            here = chosen.to(n.device)
            n[here] = shape(n[here], x[chosen.to(x.device)].to(n.device), of(shapes, chosen))
    y = (x + (sigma * n).to(x.device)).clamp(0, 1)
    return y, {"severity": s, "sigma": sigma, "type": kind.view(b, 1, 1, 1)}


# Each of these: white normals n and the image x, both (B, 3, H, W), to noise of unit variance.


def _grey(n: Tensor, x: Tensor, generator: Random) -> Tensor:
    return n[:, :1].expand_as(n)


def _camera(n: Tensor, x: Tensor, generator: Random) -> Tensor:
    b = len(n)
    light = srgb_to_linear(x)
    # Var of the stored value = Var of the light times the squared slope of the tone curve, here l^(1/2.4 - 1)
    # softened near black as real tone curves are.
    slope = (light + uniform(b, generator, 0.01, 0.08)).pow(1 / 2.4 - 1)
    channel = torch.exp(0.25 * randn((b, 3, 1, 1), generator))
    std = slope * (light + log_uniform(b, generator, 0.003, 0.1)).sqrt() * channel
    std = std / std.square().mean((1, 2, 3), keepdim=True).sqrt()
    return std * _smoothed(n, uniform(b, generator, 0.0, 0.6))


def _correlated(n: Tensor, x: Tensor, generator: Random) -> Tensor:
    return _smoothed(n, uniform(len(n), generator, 0.4, 1.2))


def _blotched(n: Tensor, x: Tensor, generator: Random) -> Tensor:
    b, _, h, w = n.shape
    coarse = randn((b, 3, (h + 7) // 4, (w + 7) // 4), generator)
    coarse = coarse - coarse.mean(1, keepdim=True)
    coarse = F.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)[:, :, 2 : 2 + h, 2 : 2 + w]
    # Taking the mean of the channels away leaves 2/3 of the variance; bilinear interpolation 4x leaves
    # (21/32)^2 of that.
    coarse = coarse / (2 / 3) ** 0.5 / (21 / 32)
    share = uniform(b, generator, 0.2, 0.8)
    fine = _smoothed(n, uniform(b, generator, 0.0, 0.7))
    return (1 - share).sqrt() * fine + share.sqrt() * coarse


_BAYER = torch.tensor([[[[1.0, 0], [0, 0]], [[0, 1.0], [1.0, 0]], [[0, 0], [0, 1.0]]]]).view(1, 3, 2, 2)
_CROSS = torch.tensor([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
_SQUARE = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4


def _demosaiced(n: Tensor, x: Tensor, generator: Random) -> Tensor:
    """Noise of each photosite, bilinearly interpolated: correlated between neighbours, and in green otherwise than in red and blue."""
    b, _, h, w = n.shape
    light = srgb_to_linear(x)
    mosaic = _BAYER.to(n.device).repeat(1, 1, h // 2 + 1, w // 2 + 1)[:, :, :h, :w]
    gain = torch.cat([uniform(b, generator, lo, hi) for lo, hi in ((1.2, 2.4), (1.0, 1.0001), (1.2, 2.2))], 1)
    site = n[:, :1] * mosaic * gain * (light / gain + log_uniform(b, generator, 0.002, 0.08)).sqrt()
    kernel = torch.stack([_SQUARE, _CROSS, _SQUARE])[:, None].to(n.device)
    full = F.conv2d(
        F.pad(site, (1, 1, 1, 1), mode="reflect") if min(h, w) > 1 else F.pad(site, (1, 1, 1, 1)), kernel, groups=3
    )
    # A camera's colour matrix takes from each channel what the others have in common with it, and adds their noise.
    cross = uniform(b, generator, 0.0, 0.35)
    full = full * (1 + 2 * cross) - cross * (full.sum(1, keepdim=True) - full)
    slope = (light + uniform(b, generator, 0.01, 0.08)).pow(1 / 2.4 - 1)
    seen = _smoothed(full, uniform(b, generator, 0.0, 0.5)) * slope
    return seen / seen.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-8)


def _grain(n: Tensor, x: Tensor, generator: Random) -> Tensor:
    """Clumps of silver or dye: hardly any in paper white and full black, where nothing or everything is exposed."""
    b = len(n)
    coloured = uniform(b, generator, 0.0, 0.35)
    clumps = (1 - coloured.square()).sqrt() * n[:, :1] + coloured * randn(tuple(n.shape), generator)
    tone = luminance(x)
    strength = uniform(b, generator, 0.2, 1.0) + 4 * tone * (1 - tone)
    seen = _smoothed(clumps, uniform(b, generator, 0.5, 1.8)) * strength
    return seen / seen.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-8)


def _smoothed(n: Tensor, sigma: Tensor) -> Tensor:
    """White noise (B, 3, H, W) under a Gaussian of sigma (B, 1, 1, 1) pixels, brought back to unit variance."""
    d = torch.arange(4, device=sigma.device).float().view(1, 4)
    taps = torch.exp(-0.5 * (d / sigma.view(-1, 1).clamp_min(0.05)).square())
    power = taps[:, :1].square() + 2 * taps[:, 1:].square().sum(1, keepdim=True)
    return separable(n, taps / power.sqrt())


ON_PROCESSOR = ("cpu", "mps")
"""Devices whose pictures libjpeg compresses on the processor: there it is faster, and the other has no float64."""
QUALITY = (95.0, 8.0)
LONGEST = 65_000


def jpeg(x: Tensor, generator: Random, severity: Severity = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Compression by libjpeg through Pillow, and back, or on a device its arithmetic (`compression`), the same bits; not differentiable.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. Strength: quality 95 (severity 0) to 8 (severity 1), linearly. Chroma is
    halved (4:2:0) in four samples of five. Half of the samples have the block grid shifted by `offset` pixels, as in
    a crop of a compressed photograph. Returns y and `severity`, `quality`, `subsampled` (B, 1, 1, 1), `offset` (B, 2)
    (down, right). Raises InputError for a wrong shape, type or severity, or for a side over 65,000 pixels, which JPEG
    cannot store.
    """
    check(x, severity)
    b, _, h, w = x.shape
    if max(h, w) > LONGEST:
        raise InputError(f"JPEG cannot store a picture of {w}x{h} pixels; the longest side may be {LONGEST}")
    s = severities(b, generator, severity)
    quality = (QUALITY[0] + (QUALITY[1] - QUALITY[0]) * s).round()
    subsampled = rand((b, 1, 1, 1), generator, host=True) < 0.8
    offset = whole((b, 2), 8, generator) * chance(b, generator, 0.5).view(b, 1)
    if x.device.type in ON_PROCESSOR:
        y = torch.stack([recompress(x[i], int(quality[i]), bool(subsampled[i]), offset[i].tolist()) for i in range(b)])
    else:
        y = torch.empty_like(x)
        for halved in (True, False):
            here = (subsampled.flatten() == halved).nonzero().flatten().to(x.device)
            if len(here):
                of_these = (quality.to(x.device).view(b)[here], offset.to(x.device)[here])
                y[here] = compressed(x[here], *of_these, subsampled=halved)
    return y, {"severity": s, "quality": quality, "subsampled": subsampled, "offset": offset}


def recompress(image: Tensor, quality: int, subsampled: bool = True, offset: Sequence[int] = (0, 0)) -> Tensor:
    """Encode and decode one image (3, H, W), the 8x8 grid starting `offset` pixels (down, right) before it."""
    if image.device.type not in ON_PROCESSOR:
        levels = torch.full((1,), float(quality), device=image.device)
        at = torch.tensor([list(offset)], device=image.device)
        return compressed(image[None], levels, at, subsampled=subsampled)[0]
    down, right = offset
    shifted = F.pad(image[None], (right, 0, down, 0), mode="replicate")[0] if down or right else image
    _, h, w = shifted.shape
    pixels = (shifted * 255).round_().clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu()
    memory = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(memory, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
    decoded = Image.open(memory, formats=("JPEG",)).tobytes()
    back = torch.frombuffer(bytearray(decoded), dtype=torch.uint8).view(h, w, 3)[down:, right:].permute(2, 0, 1)
    return back.contiguous().to(image.device).float().div_(255)
