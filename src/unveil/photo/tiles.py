"""Cutting a photograph into equal tiles, and blending them again without seams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unveil.errors import UnveilError


@dataclass(frozen=True)
class Span:
    """One tile along one axis: `length` pixels from `start` on.

    rise and fall: where, in the span's own pixels, its weight goes from 0 to 1 and back to 0. An empty pair (k, k) is a hard edge.
    """

    start: int
    length: int
    rise: tuple[int, int]
    fall: tuple[int, int]

    @property
    def stop(self) -> int:
        """One past the last pixel."""
        return self.start + self.length

    def weights(self) -> np.ndarray:
        """(length,) float32 in [0, 1]: zero up to the rise, raised cosines over rise and fall, zero after the fall."""
        at = np.arange(self.length)
        return (
            _ramp(at, *self.rise) * _ramp(self.length - 1 - at, self.length - self.fall[1], self.length - self.fall[0])
        ).astype(np.float32)


def _ramp(at: np.ndarray, low: int, high: int) -> np.ndarray:
    """0 before `low`, 1 from `high` on, sin^2 at pixel centres between; mirrored ramps add up to sin^2 + cos^2 = 1."""
    part = np.clip((at + 0.5 - low) / max(high - low, 1), 0, 1) if high > low else (at >= low).astype(np.float64)
    return np.sin(part * (np.pi / 2)) ** 2


@dataclass(frozen=True)
class Tile:
    """A rectangle of the canvas: rows and columns as spans."""

    rows: Span
    columns: Span

    @property
    def top(self) -> int:
        """First row."""
        return self.rows.start

    @property
    def left(self) -> int:
        """First column."""
        return self.columns.start

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.rows.length

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.columns.length

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns as slices, for image[..., rows, columns]."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)


def canvas(height: int, width: int, multiple_of: int) -> tuple[int, int]:
    """The size that tiles cover: height and width rounded up to the network's multiple. What lies beyond the photograph is padding."""
    return -(-height // multiple_of) * multiple_of, -(-width // multiple_of) * multiple_of


def plan(
    height: int, width: int, tile: int, overlap: int, multiple_of: int = 1, margin: int | None = None
) -> list[Tile]:
    """Equal tiles, row by row, that cover canvas(height, width, multiple_of).

    tile: the longest side of a tile; 0 for the whole canvas in one. Sides come out smaller where the same number of smaller tiles does.
    overlap: pixels that neighbours share at least. margin: pixels along inner edges whose weight is zero, by default a quarter of the
    overlap. A network that looks at most `margin` pixels far gives the same result in tiles as in one piece, because no pixel that saw
    a tile's edge is used. Every tile begins and ends at a multiple of `multiple_of`, since a network that halves its resolution is
    only then the same function on every tile.

    Raises UnveilError where the numbers make no sense, or where tiles would not be longer than their overlap.
    """
    if min(height, width, multiple_of) < 1 or min(tile, overlap) < 0:
        raise UnveilError(
            f"cannot tile {width} x {height} pixels by {tile} with overlap {overlap} and multiple {multiple_of}"
        )
    keep = overlap // 4 if margin is None else margin
    rows, columns = (
        _spans(size, size if tile == 0 else tile, overlap, multiple_of, keep)
        for size in canvas(height, width, multiple_of)
    )
    return [Tile(r, c) for r in rows for c in columns]


def _spans(size: int, tile: int, overlap: int, unit: int, margin: int) -> list[Span]:
    """All lengths are counted in units of `unit` pixels first, which keeps every edge on the network's grid."""
    total, length, shared = size // unit, max(1, tile // unit), -(-overlap // unit)
    if total <= length:
        return [Span(0, size, (0, 0), (size, size))]
    if length <= shared:
        raise UnveilError(
            f"tiles of {length * unit} pixels are not longer than their overlap of {shared * unit}; choose a larger --tile"
        )
    count = -(-(total - shared) // (length - shared))
    length = -(-(total + (count - 1) * shared) // count)
    starts = [i * (total - length) // (count - 1) * unit for i in range(count)]
    length *= unit
    # No three tiles may blend at one place, or their weights would not add up to one.
    widest = (min(b - a for a, b in zip(starts, starts[1:], strict=False)) - 1) // 2
    joints = [_joint(b, a + length, margin, widest) for a, b in zip(starts, starts[1:], strict=False)]
    spans = []
    for i, start in enumerate(starts):
        low, high = joints[i - 1] if i else (start, start)
        fall = joints[i] if i < count - 1 else (start + length, start + length)
        spans.append(Span(start, length, (low - start, high - start), (fall[0] - start, fall[1] - start)))
    return spans


def _joint(begin: int, end: int, margin: int, widest: int) -> tuple[int, int]:
    """Where two neighbours that share [begin, end) blend: in the middle, `margin` away from either tile's edge if there is room."""
    shared = end - begin
    half = max(0, min(shared // 2 - min(margin, shared // 2), widest))
    low, high = begin + shared // 2 - half, begin + (shared + 1) // 2 + half
    return (low, high) if half else (low, low)


def weights(tile: Tile) -> np.ndarray:
    """(height, width) float32 in [0, 1] by which a tile's result is multiplied before it is added to the others.

    Raised cosines in both directions; over all tiles of a plan they add up to 1 at every pixel, to 1e-6.
    """
    return np.outer(tile.rows.weights(), tile.columns.weights())
