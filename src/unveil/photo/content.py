"""What a photograph shows beside its subject: bars, grey in three channels, black that is meant to be black."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLACK = 12 / 255
"""Bars are near-black: this is where video's and scanners' black ends, with the compression's ripple."""
_FLAT = 5 / 255
_LEAST = 16
"""Rows and columns that must be left between bars."""
_VOID = 3 / 255
"""A neighbourhood that never exceeds this holds nothing that could be brought back."""
_AROUND = 9
"""Side of that neighbourhood in pixels."""
_AREA = 16
"""Of the shorter side of a photograph, the part that an area of black must measure to be left black."""

_SQUARE = 16
"""Side of the squares, in pixels, of which one that stands out tells a dark photograph from a black one."""
_NOTHING = 6 / 255, 1.5 / 255
"""Mean of the brightest square, and how far it is above the darkest, up to which a photograph is black."""


@dataclass(frozen=True)
class Box:
    """Rows top to bottom and columns left to right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """That part of (H, W, ...)."""
        return pixels[self.top : self.bottom, self.left : self.right]


def around(pixels: np.ndarray, columns: int) -> np.ndarray:
    """(H, W + 2 columns, C): pixels of a panorama (H, W, C) with the other side's beyond each edge; the pixels themselves for 0."""
    return np.concatenate([pixels[:, -columns:], pixels, pixels[:, :columns]], axis=1) if columns else pixels


def within_bars(pixels: np.ndarray) -> Box:
    """The picture (H, W, 3) in [0, 1] inside letterbox and pillarbox bars: rows and columns at the edges that are evenly near-black.

    The whole where there are no bars, or where hardly anything would be left (a black frame is no pair of bars).
    """
    height, width = pixels.shape[:2]
    if pixels.size and all(_bright(_peak(line)) for line in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])):
        return Box(0, height, 0, width)  # as nearly always: then nothing between them matters
    peak = _peak(pixels)
    top, bottom = _between_bars(peak)
    left, right = _between_bars(peak[top:bottom].T)
    top, bottom = _between_bars(peak[:, left:right])  # pillars may be of another black than the letterbox
    if bottom - top < min(_LEAST, height) or right - left < min(_LEAST, width):
        return Box(0, height, 0, width)
    return Box(top, bottom, left, right)


def _between_bars(peak: np.ndarray) -> tuple[int, int]:
    """First row of (H, W) that is not evenly near-black, and the one after the last; (0, 0) where all are."""
    if peak.size == 0:
        return 0, 0
    if all(_bright(line) for line in (peak[0], peak[-1])):  # as nearly always: then no row between them matters
        return 0, len(peak)
    high, low = peak.max(axis=1), peak.min(axis=1)
    full = np.flatnonzero((high > _BLACK) | (high - low > _FLAT))
    return (0, 0) if full.size == 0 else (int(full[0]), int(full[-1]) + 1)


def _bright(line: np.ndarray) -> bool:
    """Whether a row (W,) is not evenly near-black."""
    high = line.max()
    return bool(high > _BLACK or high - line.min() > _FLAT)


def _peak(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W), the largest of the three; many times faster than a maximum along an axis of three."""
    return np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


def is_grey(pixels: np.ndarray) -> bool:
    """Whether (H, W, 3) holds R = G = B everywhere."""
    red = pixels[..., 0]
    return all(
        np.array_equal(red[part], pixels[part][..., other])
        for part in (slice(0, 1), slice(1, None))  # the first row tells of nearly every photograph that it is not
        for other in (1, 2)
    )


def as_grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) with the mean of its channels in each of them, exactly equal."""
    return np.repeat(pixels.mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2)


def is_black(pixels: np.ndarray) -> bool:
    """Whether (H, W, 3) in [0, 1] shows nothing, as behind a lens cap: near-black and even, but for noise and single bright pixels."""
    height, width = pixels.shape[:2]
    if float(pixels[:: _SQUARE // 2, :: _SQUARE // 2].mean(dtype=np.float64)) > _NOTHING[0]:
        return False  # as nearly always, and a hundredth of the work
    tall, wide = max(1, height // _SQUARE), max(1, width // _SQUARE)
    squares = pixels[: tall * min(height, _SQUARE), : wide * min(width, _SQUARE)].reshape(
        tall, -1, wide, min(width, _SQUARE), 3
    )
    means = squares.mean(axis=(1, 3, 4), dtype=np.float64)
    return bool(means.max() <= _NOTHING[0] and means.max() - means.min() <= _NOTHING[1])


def void(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 1) in [0, 1]: 1 in areas of (H, W, 3) so black that nothing is hidden in them, 0 where something is, soft between.

    An area is as wide as a sixteenth of the photograph: specks of black among leaves that are lifted would be a patchwork.
    """
    wide = max(_AROUND, min(pixels.shape[:2]) // _AREA)
    wide += 1 - wide % 2  # windows of odd sides lie evenly around their pixel
    # Every such area holds so many of these pixels each way, half of them where an edge cuts it: where they are not all dark, it is none.
    half = _AROUND // 2 + 1
    bright = _peak(pixels[::half, ::half]) >= 2 * _VOID
    if bright.all() or _window(bright, wide // half).all():
        return np.zeros((*pixels.shape[:2], 1), np.float32)
    peak = _window(_peak(pixels), _AROUND)
    share = np.clip((2 * _VOID - peak) / _VOID, 0, 1).astype(np.float32)
    share = _window(1 - _window(1 - share, wide), wide)
    return _mean(_mean(1 - _window(1 - share, 2 * _AROUND - 1)))[..., None]


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over windows of _AROUND pixels around each one, edges repeated; (H, W) -> (H, W)."""
    half = _AROUND // 2
    for axis in (0, 1):
        padded = np.pad(values, [(half, half) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        values = np.lib.stride_tricks.sliding_window_view(padded, _AROUND, axis).mean(-1)
    return values


def _window(values: np.ndarray, side: int) -> np.ndarray:
    """Maximum over windows of `side` pixels around each one, edges repeated; (H, W) -> (H, W)."""
    half = side // 2
    for axis in (0, 1):
        length = values.shape[axis]
        out = np.pad(values, [(half, side - 1 - half) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        reach = 1  # maxima over this many pixels so far, which overlap themselves to make wider ones
        while reach < side:
            shift = min(reach, side - reach)
            left, right = ((slice(None),) * axis + (part,) for part in (slice(None, -shift), slice(shift, None)))
            out, reach = np.maximum(out[left], out[right]), reach + shift
        values = out[:length] if axis == 0 else out[:, :length]
    return values
