"""Cutting a photograph into equal tiles, blending them again without seams, and planning how large they may be; the noise they share.

The plan is made from numbers alone, before anything is allocated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from unveil.errors import InputError, UnveilError


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

    Raises InputError where the numbers make no sense, or where tiles would not be longer than their overlap.
    """
    rows, columns = _both(height, width, tile, overlap, multiple_of, margin)
    return [Tile(r, c) for r in rows for c in columns]


def _both(
    height: int, width: int, tile: int, overlap: int, multiple_of: int, margin: int | None
) -> tuple[list[Span], list[Span]]:
    """The spans of the rows and of the columns."""
    if min(height, width, multiple_of) < 1 or min(tile, overlap) < 0:
        raise InputError(
            f"cannot tile {width} x {height} pixels by {tile} with overlap {overlap} and multiple {multiple_of}"
        )
    keep = overlap // 4 if margin is None else margin
    rows, columns = (
        _spans(size, size if tile == 0 else tile, overlap, multiple_of, keep)
        for size in canvas(height, width, multiple_of)
    )
    return rows, columns


def _spans(size: int, tile: int, overlap: int, unit: int, margin: int) -> list[Span]:
    """All lengths are counted in units of `unit` pixels first, which keeps every edge on the network's grid."""
    total, length, shared = size // unit, max(1, tile // unit), -(-overlap // unit)
    if total <= length:
        return [Span(0, size, (0, 0), (size, size))]
    if length <= shared:
        raise InputError(
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


MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a model needs, as its data declare or a trial run measured it.

    fixed: bytes for weights and buffers. per_pixel: bytes per pixel of a tile while it is worked on. held_per_pixel: bytes per pixel of
    the whole photograph that stay allocated throughout (state, sums, output). multiple_of: what tile sides must be a multiple of.
    overlap, margin: of tiles, as in tiles.plan. smallest, largest: tile sides that make sense; largest 0 for no limit.
    """

    fixed: int
    per_pixel: float
    held_per_pixel: float = 0.0
    multiple_of: int = 1
    overlap: int = 32
    margin: int | None = None
    smallest: int = 64
    largest: int = 0


@dataclass(frozen=True)
class Plan:
    """tile: the longest side of a tile, 0 for the whole photograph in one; batch: tiles worked on together; bytes: the most in use."""

    height: int
    width: int
    tile: int
    batch: int
    bytes: int
    budget: int
    cost: Cost

    def tiles(self) -> list[Tile]:
        """The tiles, row by row."""
        cost = self.cost
        return plan(self.height, self.width, self.tile, cost.overlap, cost.multiple_of, cost.margin)

    def halved(self) -> Plan:
        """The next smaller plan, after memory ran out nevertheless: half the batch, and with a batch of one, half the tile.

        A smaller batch changes no pixel, so it is tried first. Raises UnveilError where tiles cannot be halved any more.
        """
        if self.batch > 1:
            return _with(self, self.tile, self.batch // 2)
        first, _ = _first_of(self.height, self.width, self.tile, self.cost)
        side = max(first.height, first.width) // 2 // self.cost.multiple_of * self.cost.multiple_of
        if side < _least(self.cost):
            raise UnveilError(
                f"out of memory even with tiles of {max(first.height, first.width)} pixels; close other programs, use a smaller model, or "
                "--device cpu"
            )
        return _with(self, side, 1)


def decide(height: int, width: int, budget: int, cost: Cost, tile: int | str = "auto", most: int = 64) -> Plan:
    """Tile and batch for a photograph of this size within `budget` bytes. The same arguments always give the same plan.

    tile: "auto" takes the whole photograph if it fits and the largest tile that does otherwise; a number is the longest side, rounded
    down to the model's multiple; 0 is the whole photograph. most: the largest batch.

    The budget should be a fixed share of the machine's memory and not what happens to be free: tiles of another size change pixels in
    the last digit, and the same seed should give the same pixels.

    Raises InputError where not even the smallest tile, or not the one asked for, fits into the budget.
    """
    if tile != "auto" and not (isinstance(tile, int) and tile >= 0):
        raise InputError(f"--tile must be auto, 0 or a number of pixels, not {tile!r}")
    pixels = max(0, math.floor((budget - _held(height, width, cost)) / cost.per_pixel))
    if tile == "auto":
        side = _auto(*canvas(height, width, cost.multiple_of), pixels, cost)
    else:
        side = max(int(tile) // cost.multiple_of, 1) * cost.multiple_of if tile else 0
    first, _ = _first_of(height, width, side, cost)
    if first.height * first.width > pixels:
        raise InputError(_too_large(height, width, budget, cost, first, tile != "auto"))
    chosen = Plan(height, width, side, 1, 0, budget, cost)
    return _with(chosen, side, min(most, pixels // (first.height * first.width)))


def _auto(rows: int, columns: int, pixels: int, cost: Cost) -> int:
    if rows * columns <= pixels and not 0 < cost.largest < max(rows, columns):
        return 0
    side = math.isqrt(pixels) // cost.multiple_of * cost.multiple_of
    if cost.largest:
        side = min(side, max(cost.largest // cost.multiple_of, 1) * cost.multiple_of)
    return max(side, _least(cost))


def _held(height: int, width: int, cost: Cost) -> int:
    """Bytes that stay allocated throughout, whatever the tiles are."""
    rows, columns = canvas(height, width, cost.multiple_of)
    return cost.fixed + math.ceil(cost.held_per_pixel * rows * columns)


def _least(cost: Cost) -> int:
    """The shortest tile that is longer than its overlap and sensible for the model."""
    unit = cost.multiple_of
    return max(-(-cost.smallest // unit), -(-cost.overlap // unit) + 1) * unit


def _first_of(height: int, width: int, tile: int, cost: Cost) -> tuple[Tile, int]:
    """The first tile and how many there are, without making them all: a panorama of gigapixels is refused at once."""
    rows, columns = _both(height, width, tile, cost.overlap, cost.multiple_of, cost.margin)
    return Tile(rows[0], columns[0]), len(rows) * len(columns)


def _with(plan: Plan, tile: int, batch: int) -> Plan:
    """The plan with another tile and at most `batch` tiles at once; batches are evened out, since eight and one waste a round."""
    first, count = _first_of(plan.height, plan.width, tile, plan.cost)
    rounds = -(-count // max(1, min(batch, count)))
    batch = -(-count // rounds)
    used = _held(plan.height, plan.width, plan.cost) + math.ceil(
        batch * first.height * first.width * plan.cost.per_pixel
    )
    return replace(plan, tile=tile, batch=batch, bytes=used)


def _too_large(height: int, width: int, budget: int, cost: Cost, first: Tile, asked: bool) -> str:
    held = _held(height, width, cost)
    need = held + math.ceil(first.height * first.width * cost.per_pixel)
    advice = "use --tile auto" if asked else "use a smaller model, reduce the photograph, or --device cpu"
    return (
        f"{width} x {height} pixels in tiles of {first.width} x {first.height} need {need / MIB:.0f} MiB ({held / MIB:.0f} of them for "
        f"weights and the photograph itself), the limit is {budget / MIB:.0f} MiB; {advice}"
    )


BLOCK = 64
_WORD = 1 << 64


def noise_field(seed: int, step: int, top: int, left: int, height: int, width: int, channels: int) -> torch.Tensor:
    """(channels, height, width) float32 standard normal noise of the window at (top, left), on the CPU.

    A pure function of (seed, step, channel, row, column): any window equals the same part of any larger one, bit for bit, and the
    first channels do not depend on how many follow. seed: any integer, taken modulo 2^64; step: counts sampling steps, and may number
    samples or stages too.

    Every block of 64 x 64 pixels has its own stretch of the counter-based generator Philox (Salmon et al., SC 2011): the key is
    (seed, step), the upper half of the counter is the block's place, so no two blocks can meet. torch's generator would use 32 bits
    of a hash only, and its numbers depend on the processor. Uniform bits become normal by Box and Muller's transform (1958).

    Raises UnveilError for a window that is empty or begins at a negative position.
    """
    if min(top, left, step) < 0 or min(height, width, channels) < 1:
        raise UnveilError(
            f"no noise for {channels} channels of {width} x {height} pixels at ({top}, {left}), step {step}"
        )
    out = np.empty((channels, height, width), np.float32)
    bottom, right = top + height, left + width
    for row in range(top // BLOCK, -(-bottom // BLOCK)):
        for column in range(left // BLOCK, -(-right // BLOCK)):
            block = _block(seed % _WORD, step, row, column, channels)
            y, x = row * BLOCK, column * BLOCK
            first, last = max(top, y), min(bottom, y + BLOCK)
            begin, end = max(left, x), min(right, x + BLOCK)
            out[:, first - top : last - top, begin - left : end - left] = block[
                :, first - y : last - y, begin - x : end - x
            ]
    return torch.from_numpy(out)


def _block(seed: int, step: int, row: int, column: int, channels: int) -> np.ndarray:
    """(channels, 64, 64). Each channel takes its own bits in turn: 32 for a radius and 32 for an angle make two numbers."""
    generator = np.random.Philox(
        key=np.array([seed, step], np.uint64), counter=np.array([0, 0, row, column], np.uint64)
    )
    bits = generator.random_raw(channels * BLOCK * BLOCK // 2).view(np.uint32).reshape(channels, 2, -1)
    radius = bits[:, 0].astype(np.float32)
    # (bits + 1) / 2^32 lies in (0, 1], so the logarithm is finite and the longest radius is sqrt(64 ln 2) = 6.7.
    radius += np.float32(1)
    radius *= np.float32(2.0**-32)
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    angle = bits[:, 1].astype(np.float32)
    angle *= np.float32(math.tau * 2.0**-32)
    normal = np.empty(bits.shape, np.float32)
    np.cos(angle, out=normal[:, 0])
    np.sin(angle, out=normal[:, 1])
    normal *= radius[:, None]
    return normal.reshape(channels, BLOCK, BLOCK)
