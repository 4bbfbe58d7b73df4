"""Any image size for networks that halve theirs: pad at the right and bottom, crop afterwards."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def reflected(length: int, total: int, device: torch.device | None = None) -> Tensor:
    """Indices (total,) that read a line of `length` pixels back and forth.

    For length 3: 0 1 2 1 0 1 2 ... (the edge is not repeated). Unlike torch's own reflection this has no limit: total
    may be many times length, and length 1 repeats its only pixel.
    """
    index = torch.arange(total, device=device)
    period = max(2 * (length - 1), 1)
    index = index % period
    return torch.minimum(index, period - index) if length > 1 else index


def pad_to_multiple(x: Tensor, multiple: int, mode: str = "reflect") -> Tensor:
    """(..., H, W) -> (..., H', W') with the next sizes divisible by `multiple`, extended at the bottom and right.

    mode: "reflect" (repeated where the image is smaller than the padding; any size from 1x1) or "zero". x itself is
    returned where nothing is to do. Crop the result with `[..., :H, :W]`.
    """
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if mode == "zero":
        return F.pad(x, (0, right, 0, down)) if down or right else x
    if down:
        x = x.index_select(-2, reflected(height, height + down, x.device))
    if right:
        x = x.index_select(-1, reflected(width, width + right, x.device))
    return x
