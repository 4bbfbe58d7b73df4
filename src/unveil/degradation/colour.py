"""The sRGB transfer function (IEC 61966-2-1) and 8-bit rounding."""

from __future__ import annotations

import torch
from torch import Tensor


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
