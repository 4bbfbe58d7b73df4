"""Order statistics and windows of numbers, as torch gives them, in a fraction of the time on a processor.

What is counted of a photograph takes longer than a look of the small network at it where everything is sorted to read a few quantiles,
and where windows that overlap are gone through one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BINS = 1024
_SORTED = 1 << 15
"""Numbers up to which sorting them all is faster than finding the few bins that matter."""


def quantiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """(K,) float32, as `torch.quantile` and `np.quantile`: linear between neighbours in order. values: float32, at least one, none NaN."""
    flat = values.ravel()
    # In the values' own precision, as numpy has it.
    place = np.asarray(shares, flat.dtype) * flat.dtype.type(flat.size - 1)
    lower = np.floor(place).astype(np.intp)
    upper = np.minimum(lower + 1, flat.size - 1)
    found = _ordered(flat, np.concatenate([lower, upper]))
    a, b = found[: len(place)], found[len(place) :]
    part = place - lower.astype(flat.dtype)
    return np.where(part < 0.5, a + (b - a) * part, b - (b - a) * (1 - part))


def _ordered(flat: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The numbers of (N,) that stand at `ranks` once sorted; of many numbers only the bins that hold one of them are sorted."""
    if flat.size <= _SORTED:
        return np.sort(flat)[ranks]
    bins = _binned(flat)
    counts = np.bincount(bins)
    ends = np.cumsum(counts)
    holding = np.searchsorted(ends, ranks, side="right")
    wanted = np.zeros(len(counts), bool)
    wanted[holding] = True
    kept = np.sort(flat[wanted[bins]])
    before = np.cumsum(np.where(wanted, counts, 0)) - ends  # how much further ahead a rank stands among those kept
    return kept[ranks + before[holding]]


def _binned(flat: np.ndarray) -> np.ndarray:
    """(N,) whole numbers from 0 on that never fall where the numbers rise."""
    least = flat.min()
    span = flat.max() - least
    return ((flat - least) * (_BINS / span if span > 0 else 0)).astype(np.intp)


def median(values: np.ndarray) -> np.floating:
    """The median of any shape, as `torch.median` has it: the lower of the two in the middle."""
    rank = (values.size - 1) // 2
    return np.partition(values.ravel(), rank)[rank]


def greatest(values: np.ndarray, side: tuple[int, int], stride: int) -> np.ndarray:
    """(H, W) -> (h, w), the maxima of windows of `side` pixels, as `F.max_pool2d` without padding gives them."""
    for axis in (0, 1):
        count = (values.shape[axis] - side[axis]) // stride + 1
        taken = [_every(values, axis, k, stride, count) for k in range(side[axis])]
        values = taken[0].copy()
        for more in taken[1:]:
            np.maximum(values, more, out=values)
    return values


def means(values: np.ndarray, side: tuple[int, int], stride: int) -> np.ndarray:
    """(B, H, W) -> (B, h, w), the means of windows of `side` pixels, as `F.avg_pool2d` without padding: added up in its order."""
    rows, columns = ((n - s) // stride + 1 for n, s in zip(values.shape[-2:], side, strict=True))
    lanes = [np.ascontiguousarray(_every(values, 2, k, stride, columns)) for k in range(side[1])]
    total = np.zeros((len(values), rows, columns), values.dtype)
    for k in range(side[0]):
        for lane in lanes:
            total += _every(lane, 1, k, stride, rows)
    return total / values.dtype.type(side[0] * side[1])


def _every(values: np.ndarray, axis: int, first: int, stride: int, count: int) -> np.ndarray:
    return values[(slice(None),) * axis + (slice(first, first + stride * (count - 1) + 1, stride),)]
