"""What the simulators share: seeded draws, smooth random fields, convolution, and the sRGB transfer function (IEC 61966-2-1)."""

from __future__ import annotations

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.degradation.draws import Random, rand, randn
from unveil.errors import InputError
from unveil.util.guided_filter import linear_law
from unveil.util.tensors import mirror

Severity = float | Tensor | None
"""How strong damage is: a number in [0, 1] for all samples of a batch, (B, 1, 1, 1) of them, or None, drawn for each."""


def srgb_to_linear(x: Tensor) -> Tensor:
    """Display values in [0, 1] to linear light in [0, 1]; any shape. Negative values stay on the linear segment."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055).pow(2.4))


def linear_to_srgb(x: Tensor) -> Tensor:
    """Linear light in [0, 1] to display values in [0, 1]; any shape. Negative values stay on the linear segment."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(0.0031308).pow(1 / 2.4) - 0.055)


def luminance(x: Tensor) -> Tensor:
    """Rec. 709 weighted sum of the channels, (B, 3, H, W) to (B, 1, H, W), in whatever encoding x has."""
    return 0.2126 * x[:, 0:1] + 0.7152 * x[:, 1:2] + 0.0722 * x[:, 2:3]


def quantise(x: Tensor) -> Tensor:
    """Round to the 256 levels of an 8-bit file: values in [0, 1], any shape; out-of-range values are clipped."""
    return x.clamp(0.0, 1.0).mul_(255.0).round_().div_(255.0)


def check(x: Tensor, severity: Severity = None) -> None:
    """Refuse what no simulator can degrade.

    x: (B, 3, H, W) float32, B, H, W >= 1. severity: None, a number in [0, 1] or (B, 1, 1, 1) of them. Raises InputError otherwise.
    """
    if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"a batch to degrade must be a tensor of shape (B, 3, H, W) with no empty side, not {found}")
    if x.dtype != torch.float32:
        raise InputError(f"a batch to degrade must be float32 in [0, 1], not {x.dtype}; convert it first")
    if isinstance(severity, Tensor):
        if tuple(severity.shape) != (len(x), 1, 1, 1):
            raise InputError(
                f"severities of {len(x)} samples must be of shape ({len(x)}, 1, 1, 1), not {tuple(severity.shape)}"
            )
    elif severity is not None and not 0.0 <= severity <= 1.0:
        raise InputError(f"severity must lie in [0, 1] (0 mildest, 1 strongest) or be None, not {severity!r}")


def uniform(b: int, generator: Random, low: float = 0.0, high: float = 1.0) -> Tensor:
    """(b, 1, 1, 1) independent draws, uniform in [low, high)."""
    return low + (high - low) * rand((b, 1, 1, 1), generator)


def log_uniform(b: int, generator: Random, low: float, high: float) -> Tensor:
    """(b, 1, 1, 1) independent draws whose logarithm is uniform; 0 < low <= high."""
    return torch.exp(uniform(b, generator, math.log(low), math.log(high)))


def chance(b: int, generator: Random, probability: float) -> Tensor:
    """(b, 1, 1, 1) booleans, true with the given probability."""
    return rand((b, 1, 1, 1), generator) < probability


def severities(b: int, generator: Random, severity: Severity) -> Tensor:
    """(b, 1, 1, 1) severities in [0, 1]: `severity` for all or of each, or uniform draws when it is None.

    The draw is made in either case, so that pinning the severity changes nothing else in the sequence of draws.
    """
    drawn = uniform(b, generator)
    return pinned(drawn, severity)


def pinned(drawn: Tensor, severity: Severity) -> Tensor:
    """The draws (b, ...), one of each sample, or the severities that take their place."""
    if severity is None:
        return drawn
    return severity.to(drawn).reshape(drawn.shape) if isinstance(severity, Tensor) else torch.full_like(drawn, severity)


def geometric(s: Tensor, low: float, high: float) -> Tensor:
    """Strength for severity s in [0, 1], equal steps in the logarithm: low at 0, high at 1 (either may be larger)."""
    return low * (high / low) ** s


def own_seed(seed: int, name: str) -> int:
    """The seed for a photograph by its file name, so that many damaged with one seed are damaged differently: below 2^32, since torch's
    generator on processors keeps no more.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big")


# Mean over position of the sum of squared cubic B-spline weights: what interpolation does to the variance, per axis.
_SPLINE_POWER = 151.0 / 315.0


def grid(h: int, w: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Pixel centres as (down (h, 1), right (1, w)): 0 in the middle, the longer side spans [-1/2, 1/2]."""
    n = max(h, w)
    down = torch.arange(h, device=device) + 0.5 - h / 2
    right = torch.arange(w, device=device) + 0.5 - w / 2
    return down.view(h, 1) / n, right.view(1, w) / n


def _spline(n: int, cells: int, device: torch.device) -> Tensor:
    """(n, cells + 3) weights of the uniform cubic B-spline at n pixel centres spread over `cells` intervals."""
    position = (torch.arange(n, device=device).float() + 0.5).view(n, 1) * (cells / n)
    d = (position - torch.arange(-1, cells + 2, device=device).float().view(1, -1)).abs()
    return (2 - d).clamp_min(0).pow(3) / 6 - 4 * (1 - d).clamp_min(0).pow(3) / 6


def smooth(b: int, h: int, w: int, generator: Random, cells: float = 3.0) -> Tensor:
    """(b, 1, h, w) smooth Gaussian fields, mean 0, variance 1, about `cells` patches along the longer side.

    A coarse grid of normals under a cubic B-spline, evaluated as two small matrix products.
    """
    n = max(h, w)
    ch, cw = max(1, round(cells * h / n)), max(1, round(cells * w / n))
    knots = randn((b, 1, ch + 3, cw + 3), generator)
    return (_spline(h, ch, knots.device) @ knots @ _spline(w, cw, knots.device).T) / _SPLINE_POWER


def fractal(b: int, h: int, w: int, generator: Random, cells: float, octaves: int, roughness: Tensor) -> Tensor:
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


def fast_size(n: int) -> int:
    """Smallest m >= n whose prime factors are 2, 3 and 5: other lengths make the transform slow."""
    while True:
        m = n
        for p in (2, 3, 5):
            while m % p == 0:
                m //= p
        if m == 1:
            return n
        n += 1


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlate x (B, C, H, W) with kernel (B, K, K), K odd, one kernel per sample, borders mirrored. Shape kept.

    By FFT, so the cost does not grow with K; rounding error about 1e-6 for values in [0, 1].
    """
    b, _, h, w = x.shape
    k = kernel.shape[-1]
    r = k // 2
    size = (fast_size(h + 2 * r), fast_size(w + 2 * r))
    rows, columns = mirror(h, r, size[0] - h - r, x.device), mirror(w, r, size[1] - w - r, x.device)
    padded = x.index_select(2, rows).index_select(3, columns)
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel.to(x).view(b, 1, k, k), s=size).conj()
    return torch.fft.irfft2(spectrum, s=size)[:, :, :h, :w]


def separable(x: Tensor, taps: Tensor) -> Tensor:
    """Filter x (B, C, H, W) along both axes with symmetric taps (B, R + 1), centre first; borders mirrored."""
    r = taps.shape[1] - 1
    for axis in (2, 3):
        n = x.shape[axis]
        padded = x.index_select(axis, mirror(n, r, r, x.device))
        out = taps[:, 0].view(-1, 1, 1, 1) * padded.narrow(axis, r, n)
        for d in range(1, r + 1):
            out = out + taps[:, d].view(-1, 1, 1, 1) * (padded.narrow(axis, r - d, n) + padded.narrow(axis, r + d, n))
        x = out
    return x


def guided(guide: Tensor, x: Tensor, smoothing: float = 0.02) -> Tensor:
    """Guided filter (He, Sun and Tang, TPAMI 2013, eqs. 5, 6, 8): x made locally affine in guide.

    guide: (B, 1, H, W) in [0, 1], x: (B, C, H, W); returns the shape of x. The coefficients are found on a grid of at
    most 64 cells a side, in windows of a sixth of it (their "fast" variant), so the cost is that of two resizings.
    smoothing: variance of the guide below which an edge is not followed.
    """
    h, w = guide.shape[-2:]
    n = max(h, w, 64)
    small = (max(1, h * 64 // n), max(1, w * 64 // n))
    g, f = F.adaptive_avg_pool2d(guide, small), F.adaptive_avg_pool2d(x, small)
    r = max(1, max(small) // 12)

    def mean(u: Tensor) -> Tensor:
        for axis in (2, 3):
            n = u.shape[axis]
            sums = u.index_select(axis, mirror(n, r + 1, r, u.device)).cumsum(axis)
            u = (sums.narrow(axis, 2 * r + 1, n) - sums.narrow(axis, 0, n)) / (2 * r + 1)
        return u

    law = linear_law(g, f, mean, smoothing)
    a, b = (F.interpolate(c, size=(h, w), mode="bilinear", align_corners=False) for c in law)
    return a * guide + b
