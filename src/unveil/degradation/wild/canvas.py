"""Pictures of different sizes in one tensor: each in the upper left corner of a common canvas, its size beside it.

After the first resize every picture of a batch has its own size. Operations here take the canvas (B, C, H, W) and sizes
(B, 2), height and width in pixels on the CPU; what lies outside a picture is undefined. A canvas of one costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def gathered(pictures: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures (C, h, w) -> canvas (B, C, H, W), sizes (B, 2)."""
    sizes = torch.tensor([p.shape[-2:] for p in pictures])
    if len(pictures) == 1:
        return pictures[0][None], sizes
    h, w = sizes.amax(0).tolist()
    canvas = pictures[0].new_zeros(len(pictures), pictures[0].shape[0], h, w)
    for place, p in zip(canvas, pictures, strict=True):
        place[:, : p.shape[-2], : p.shape[-1]] = p
    return canvas, sizes


def scattered(canvas: Tensor, sizes: Tensor) -> list[Tensor]:
    """The inverse of `gathered`."""
    return [picture[:, :h, :w] for picture, (h, w) in zip(canvas, sizes.tolist(), strict=True)]


def similar(areas: list[int], limit: int) -> Iterator[list[int]]:
    """Groups of indices, at most `limit` each, whose areas differ by at most a quarter, so that little canvas is wasted."""
    order = sorted(range(len(areas)), key=lambda i: -areas[i])
    group: list[int] = []
    for i in order:
        if group and (len(group) == limit or areas[i] < 0.8 * areas[group[0]]):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def take(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """x (B, C, H, W) read along axis 2 or 3 at index (B, n), for each sample its own."""
    index = index.to(x.device)
    if axis == 2 and len(x) == 1:
        return x.index_select(2, index[0])
    shape = list(x.shape)
    shape[axis] = index.shape[1]
    return x.gather(axis, (index[:, None, :, None] if axis == 2 else index[:, None, None, :]).expand(shape))


def _mirrored(n: Tensor, before: int, total: int, *, repeat: bool) -> Tensor:
    """(B, total) indices into lines of n (B,) pixels, reflected at both ends, the edge pixel repeated or not."""
    n = n[:, None]
    period = 2 * n if repeat else (2 * (n - 1)).clamp_min(1)
    k = torch.arange(-before, total - before)[None] % period
    return torch.where(k < n, k, period - k - (1 if repeat else 0))


def extended(x: Tensor, sizes: Tensor, margin: int, size: tuple[int, int], *, repeat: bool = False) -> Tensor:
    """Each picture with `margin` pixels of its mirror image above and left, and as many below and right as fill `size`.

    repeat: whether the mirror stands at the edge of the last pixel (which then occurs twice) or in its middle. Any
    margin, also wider than the picture. (B, C, *size).
    """
    h, w = sizes[0].tolist()
    below, right = size[0] - margin - h, size[1] - margin - w
    if len(x) == 1 and not repeat and max(margin, below) < h and max(margin, right) < w:
        return F.pad(x[:, :, :h, :w], (margin, right, margin, below), mode="reflect")
    rows = take(x, 2, _mirrored(sizes[:, 0], margin, size[0], repeat=repeat))
    return take(rows, 3, _mirrored(sizes[:, 1], margin, size[1], repeat=repeat))
