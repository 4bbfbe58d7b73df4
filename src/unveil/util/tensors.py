"""Between pixels as photographs have them, (H, W, C) arrays, and as networks and simulators do, (1, C, H, W) tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def batch_of(pixels: np.ndarray) -> Tensor:
    """(H, W, C) of any type that torch has as a batch of one image: (1, C, H, W), contiguous, in memory of its own."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def pixels_of(batch: Tensor) -> np.ndarray:
    """The first image of a batch (B, C, H, W), on any device: (H, W, C) of the same type, contiguous."""
    return np.ascontiguousarray(batch[0].detach().permute(1, 2, 0).cpu().numpy())


def mirror(n: int, before: int, after: int, device: torch.device | None = None) -> Tensor:
    """Indices of n pixels extended by reflection without repeating the edge, as 1 0 1 2 1 0 ...; the margins may exceed n."""
    period = max(1, 2 * (n - 1))
    k = torch.arange(-before, n + after, device=device) % period
    return torch.where(k < n, k, period - k)


def at_least(x: Tensor, height: int, width: int) -> Tensor:
    """(..., H, W) continued by reflection at the bottom and right where it is smaller; x itself where it is not."""
    for dim, total in ((-2, height), (-1, width)):
        if (length := x.shape[dim]) < total:
            x = x.index_select(dim, mirror(length, 0, total - length, x.device))
    return x
