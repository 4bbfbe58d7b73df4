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
