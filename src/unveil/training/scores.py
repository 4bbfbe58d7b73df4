"""PSNR and SSIM of batches during training. Numbers for tables come from the evaluation room, which these agree with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def psnr(x: Tensor, target: Tensor) -> Tensor:
    """(B,) dB, over all channels and pixels. Both (B, 3, H, W) in [0, 1]; 100 dB at most, so that means stay finite."""
    error = ((x - target) ** 2).flatten(1).double().mean(1)
    return -10 * torch.log10(error.clamp_min(1e-10))


def _window(device: torch.device) -> Tensor:
    offset = torch.arange(11, dtype=torch.float64, device=device) - 5
    taps = torch.exp(-(offset**2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    return (taps[:, None] * taps[None, :])[None, None]


def ssim(x: Tensor, target: Tensor) -> Tensor:
    """(B,) structural similarity (Wang et al. 2004, eq. 13): 11x11 Gaussian window, sigma 1.5, where it fits; mean of channels.

    Both (B, 3, H, W) in [0, 1], H and W at least 11.
    """
    b, c, h, w = x.shape
    window = _window(x.device)

    def mean(image: Tensor) -> Tensor:
        return F.conv2d(image, window)

    left, right = (t.double().reshape(b * c, 1, h, w) for t in (x, target))
    m, n = mean(left), mean(right)
    variance_left, variance_right = mean(left**2) - m**2, mean(right**2) - n**2
    covariance = mean(left * right) - m * n
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * m * n + c1) * (2 * covariance + c2) / ((m**2 + n**2 + c1) * (variance_left + variance_right + c2))
    return similarity.reshape(b, -1).mean(1)
