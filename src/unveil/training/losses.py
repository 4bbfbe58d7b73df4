"""How an error of x0_hat becomes a loss: one number for each sample, to be weighted and averaged."""

from __future__ import annotations

import torch
from torch import Tensor

LOSSES = ("squared", "l1", "charbonnier", "psnr")

_CHARBONNIER = 1e-3 * 2  # of the range [-1, 1]


def loss(kind: str, error: Tensor, floor: float = 0.0) -> Tensor:
    """Loss of each sample of a batch of errors.

    Args:
        kind: "squared" (its minimiser is the posterior's mean), "l1" (the median), "charbonnier" (sqrt(e^2 + c^2), between the
            two), or "psnr": half the logarithm of (mean squared error + floor), what the mean PSNR of a test set asks for, so that
            every sample counts by how much it can still gain and not by how damaged it was.
        error: (B, C, H, W), x0_hat - x0 on [-1, 1].
        floor: squared error below which "psnr" no longer counts a gain.

    Returns:
        (B,) losses.

    Raises:
        ValueError: Another kind.

    """
    if kind == "squared":
        return error.square().mean((1, 2, 3))
    if kind == "l1":
        return error.abs().mean((1, 2, 3))
    if kind == "charbonnier":
        return (error.square() + _CHARBONNIER**2).sqrt().mean((1, 2, 3))
    if kind == "psnr":
        return 0.5 * torch.log(error.square().mean((1, 2, 3)) + floor)
    raise ValueError(f"unknown loss {kind!r}; known are {', '.join(LOSSES)}")
