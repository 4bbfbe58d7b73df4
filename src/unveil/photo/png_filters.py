"""The five row filters of PNG (W3C PNG, section 9), forwards and backwards, without a loop over bytes."""

from __future__ import annotations

import numpy as np

NONE, SUB, UP, AVERAGE, PAETH = range(5)


def unfilter(rows: np.ndarray, bpp: int) -> np.ndarray:
    """Undo the filters. rows: (H, 1 + W * bpp) uint8, each row led by its filter's number; returns (H, W * bpp) uint8.

    Average and Paeth need the finished bytes to the left, above and above left, which seems to force a loop over pixels. But all
    pixels on one anti-diagonal x + y = d need only the two diagonals before it, so the picture is swept in H + W vector steps.
    Raises ValueError for an unknown filter.
    """
    kinds = rows[:, 0]
    if kinds.max(initial=0) > PAETH:
        raise ValueError(f"unknown row filter {kinds.max()}")
    height, width = rows.shape[0], (rows.shape[1] - 1) // bpp
    # One row and one pixel of zeros stand for what lies outside the picture.
    out = np.zeros((height + 1, width + 1, bpp), np.uint8)
    out[1:, 1:] = rows[:, 1:].reshape(height, width, bpp)
    if (kinds >= AVERAGE).any():
        _sweep(out, kinds)
    else:
        _by_rows(out, kinds)
    return out[1:, 1:].reshape(height, width * bpp)


def _by_rows(out: np.ndarray, kinds: np.ndarray) -> None:
    """Without Average and Paeth a whole row is one cumulative or one plain sum."""
    for y, kind in enumerate(kinds, start=1):
        if kind == SUB:
            np.cumsum(out[y], axis=0, dtype=np.uint8, out=out[y])
        elif kind == UP:
            out[y] += out[y - 1]


def _sweep(out: np.ndarray, kinds: np.ndarray) -> None:
    height, width, bpp = out.shape[0] - 1, out.shape[1] - 1, out.shape[2]
    # Masks of 0 and -1 choose each row's predictor without branching; one column per row, broadcast over bytes.
    masks = [np.where(kinds == kind, -1, 0).astype(np.int16)[:, None] for kind in (SUB, UP, AVERAGE, PAETH)]
    flat = out.reshape(-1)
    row_bytes = (width + 1) * bpp

    def diagonal(d: int, first: int, count: int) -> np.ndarray:
        """(count, bpp) view of the padded picture's pixels (x = d - y, y) for y from `first` on."""
        start = first * row_bytes + (d - first) * bpp
        return np.lib.stride_tricks.as_strided(flat[start:], (count, bpp), (row_bytes - bpp, 1))

    for d in range(2, height + width + 1):
        top = max(1, d - width)
        count = min(height, d - 1) - top + 1
        here = diagonal(d, top, count)
        left = diagonal(d - 1, top, count).astype(np.int16)
        up = diagonal(d - 1, top - 1, count).astype(np.int16)
        corner = diagonal(d - 2, top - 1, count).astype(np.int16)
        sub, above, average, paeth = (mask[top - 1 : top - 1 + count] for mask in masks)
        predicted = (left & sub) | (up & above) | (((left + up) >> 1) & average) | (_paeth(left, up, corner) & paeth)
        here += predicted.astype(np.uint8)


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Whichever of the three is nearest to left + up - corner; ties go to left, then up."""
    to_left = np.abs(up - corner)
    to_up = np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))


def choose(rows: np.ndarray, above: np.ndarray, bpp: int) -> np.ndarray:
    """Filter each row with the filter that leaves the smallest sum of absolute (signed) bytes, the standard's own advice.

    rows: (H, W * bpp) uint8; above: (W * bpp,) uint8, the row before the first one (zeros at the top). Returns (H, 1 + W * bpp).
    """
    height, length = rows.shape
    up = np.concatenate([above[None], rows[:-1]])
    left = np.zeros_like(rows)
    left[:, bpp:] = rows[:, :-bpp]
    corner = np.zeros_like(rows)
    corner[:, bpp:] = up[:, :-bpp]
    wide = [a.astype(np.int16) for a in (left, up, corner)]
    best = np.full(height, np.iinfo(np.int64).max)
    out = np.empty((height, 1 + length), np.uint8)
    for kind in (UP, SUB, PAETH, AVERAGE, NONE):
        if kind == NONE:
            candidate = rows
        elif kind == SUB:
            candidate = rows - left
        elif kind == UP:
            candidate = rows - up
        elif kind == AVERAGE:
            candidate = rows - ((wide[0] + wide[1]) >> 1).astype(np.uint8)
        else:
            candidate = rows - _paeth(*wide).astype(np.uint8)
        cost = np.minimum(candidate, 0 - candidate).sum(axis=1, dtype=np.int64)
        better = cost < best
        best[better] = cost[better]
        out[better, 0] = kind
        out[better, 1:] = candidate[better]
    return out
