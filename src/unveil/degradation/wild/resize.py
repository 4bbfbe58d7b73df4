"""Changes of size as OpenCV makes them, without antialiasing except by area: a weighted sum of a few rows and columns."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from unveil.degradation.wild.canvas import take

INTERPOLATIONS = ("area", "cubic", "linear")


@lru_cache(maxsize=4096)
def taps(n: int, out: int, interpolation: str) -> tuple[Tensor, Tensor]:
    """Which of n pixels make each of `out` pixels: indices and weights, both (T, out); weights sum to 1.

    linear: 2 taps about the pixel's centre. cubic: 4, Keys' kernel with a = -0.75. area: when shrinking the share of each
    pixel in the new one; when enlarging the old pixels with a linear seam one new pixel wide.
    """
    scale = n / out
    i = torch.arange(out, dtype=torch.float64)
    if interpolation == "area" and scale >= 1:
        low = i * scale
        k = low.floor() + torch.arange(math.ceil(scale) + 1)[:, None]
        weight = (torch.minimum(k + 1, low + scale) - torch.maximum(k, low)).clamp_min(0)
    elif interpolation == "area":
        first = (i * scale).floor()
        f = ((i + 1) - (first + 1) / scale).clamp_min(0)
        k, weight = torch.stack([first, first + 1]), torch.stack([1 - f, f])
    else:
        at = (i + 0.5) * scale - 0.5
        f = at - at.floor()
        if interpolation == "linear":
            k, weight = torch.stack([at.floor(), at.floor() + 1]), torch.stack([1 - f, f])
        else:
            k = at.floor() + torch.arange(-1, 3)[:, None]
            d = (at - k).abs()
            near = (1.25 * d - 2.25) * d * d + 1
            far = -0.75 * (((d - 5) * d + 8) * d - 4)
            weight = torch.where(d <= 1, near, far)
    return k.long().clamp(0, n - 1), (weight / weight.sum(0)).float()


def resize(x: Tensor, sizes: Tensor, targets: Tensor, interpolations: list[str]) -> Tensor:
    """Canvas x (B, C, H, W) of `sizes` -> canvas of `targets` (B, 2), each with its own interpolation. Not clipped."""
    for axis in (2, 3):
        ways = [
            taps(n, m, name)
            for n, m, name in zip(
                sizes[:, axis - 2].tolist(), targets[:, axis - 2].tolist(), interpolations, strict=True
            )
        ]
        deep, long = max(i.shape[0] for i, _ in ways), max(i.shape[1] for i, _ in ways)
        index = torch.zeros(deep, len(x), long, dtype=torch.long)
        weight = torch.zeros(deep, len(x), long)
        for b, (i, w) in enumerate(ways):
            index[: i.shape[0], b, : i.shape[1]] = i
            weight[: i.shape[0], b, : i.shape[1]] = w
        shape = (len(x), 1, long, 1) if axis == 2 else (len(x), 1, 1, long)
        out = take(x, axis, index[0]) * weight[0].reshape(shape).to(x)
        for i, w in zip(index[1:], weight[1:], strict=True):
            out = out.addcmul_(take(x, axis, i), w.reshape(shape).to(x))
        x = out
    return x
