"""Convolution of each sample with its own kernel, with mirrored borders, at any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mirror(n: int, before: int, after: int) -> Tensor:
    """Indices of n pixels extended by reflection without repeating the edge; the margins may exceed n."""
    period = max(1, 2 * (n - 1))
    k = torch.arange(-before, n + after) % period
    return torch.where(k < n, k, period - k)


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
    rows, columns = mirror(h, r, size[0] - h - r).to(x.device), mirror(w, r, size[1] - w - r).to(x.device)
    padded = x.index_select(2, rows).index_select(3, columns)
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel.to(x).view(b, 1, k, k), s=size).conj()
    return torch.fft.irfft2(spectrum, s=size)[:, :, :h, :w]


def separable(x: Tensor, taps: Tensor) -> Tensor:
    """Filter x (B, C, H, W) along both axes with symmetric taps (B, R + 1), centre first; borders mirrored."""
    r = taps.shape[1] - 1
    for axis in (2, 3):
        n = x.shape[axis]
        padded = x.index_select(axis, mirror(n, r, r).to(x.device))
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
            sums = u.index_select(axis, mirror(n, r + 1, r)).cumsum(axis)
            u = (sums.narrow(axis, 2 * r + 1, n) - sums.narrow(axis, 0, n)) / (2 * r + 1)
        return u

    mean_g, mean_f = mean(g), mean(f)
    a = (mean(g * f) - mean_g * mean_f) / (mean(g * g) - mean_g * mean_g + smoothing)
    a, b = mean(a), mean(mean_f - a * mean_g)
    a, b = (F.interpolate(c, size=(h, w), mode="bilinear", align_corners=False) for c in (a, b))
    return a * guide + b
