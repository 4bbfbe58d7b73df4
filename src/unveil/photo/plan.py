"""How much of a photograph may be worked on at once: decided from numbers, before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from unveil.errors import InputError, UnveilError
from unveil.photo import tiles

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

    def tiles(self) -> list[tiles.Tile]:
        """The tiles, row by row."""
        return _tiles(self.height, self.width, self.tile, self.cost)

    def halved(self) -> Plan:
        """The next smaller plan, after memory ran out nevertheless: half the batch, and with a batch of one, half the tile.

        A smaller batch changes no pixel, so it is tried first. Raises UnveilError where tiles cannot be halved any more.
        """
        if self.batch > 1:
            return _with(self, self.tile, self.batch // 2)
        first = self.tiles()[0]
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
    rows, columns = tiles.canvas(height, width, cost.multiple_of)
    room = budget - cost.fixed - math.ceil(cost.held_per_pixel * rows * columns)
    pixels = max(0, math.floor(room / cost.per_pixel))
    side = _auto(rows, columns, pixels, cost) if tile == "auto" else _asked(int(tile), cost)
    first = _tiles(height, width, side, cost)[0]
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


def _asked(tile: int, cost: Cost) -> int:
    return max(tile // cost.multiple_of, 1) * cost.multiple_of if tile else 0


def _least(cost: Cost) -> int:
    """The shortest tile that is longer than its overlap and sensible for the model."""
    unit = cost.multiple_of
    return max(-(-cost.smallest // unit), -(-cost.overlap // unit) + 1) * unit


def _tiles(height: int, width: int, tile: int, cost: Cost) -> list[tiles.Tile]:
    return tiles.plan(height, width, tile, cost.overlap, cost.multiple_of, cost.margin)


def _with(plan: Plan, tile: int, batch: int) -> Plan:
    """The plan with another tile and at most `batch` tiles at once; batches are evened out, since eight and one waste a round."""
    found = _tiles(plan.height, plan.width, tile, plan.cost)
    rounds = -(-len(found) // max(1, min(batch, len(found))))
    batch = -(-len(found) // rounds)
    rows, columns = tiles.canvas(plan.height, plan.width, plan.cost.multiple_of)
    used = plan.cost.fixed + math.ceil(plan.cost.held_per_pixel * rows * columns)
    used += math.ceil(batch * found[0].height * found[0].width * plan.cost.per_pixel)
    return replace(plan, tile=tile, batch=batch, bytes=used)


def _too_large(height: int, width: int, budget: int, cost: Cost, first: tiles.Tile, asked: bool) -> str:
    rows, columns = tiles.canvas(height, width, cost.multiple_of)
    held = cost.fixed + math.ceil(cost.held_per_pixel * rows * columns)
    need = held + math.ceil(first.height * first.width * cost.per_pixel)
    advice = "use --tile auto" if asked else "use a smaller model, reduce the photograph, or --device cpu"
    return (
        f"{width} x {height} pixels in tiles of {first.width} x {first.height} need {need / MIB:.0f} MiB ({held / MIB:.0f} of them for "
        f"weights and the photograph itself), the limit is {budget / MIB:.0f} MiB; {advice}"
    )
