"""Batches made where the network is: photographs in the device's memory, crops gathered by index, damage computed there.

What a batch holds is a function of (seed, step, part), each sample's draws of (seed, step, its number) alone: the same on every device
but for rounding. To the device go places, indices and small tables, a few numbers for each sample; from it nothing is fetched.
`Counted` are the random numbers for it, keyed by (seed, step, sample): the same on every device, and made there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unveil.data.dataset import TURNS, Photograph
from unveil.data.files import Picture, Unreadable
from unveil.degradation import wild
from unveil.degradation.draws import pick
from unveil.diffusion.noise import box_muller, philox
from unveil.errors import InputError
from unveil.training.batches import Hand, Source

_BLOCK = 512
"""Words of a sample that are made together, so that a hundred small draws cost one evaluation and not each its own."""
_BRANCHES = 30
_MASK = 0xFFFFFFFF
HOST = torch.device("cpu")


class _Sequences:
    """Sequences of 32-bit words, one for each of some samples: word 4 i + j is the j-th of the counter (i, sample, step, branch)."""

    def __init__(self, key: tuple[int, int], step: int, samples: Tensor, branch: int) -> None:
        self.key, self.step, self.samples, self.branch = key, step, samples, branch
        self._kept: dict[torch.device, Tensor] = {}

    def words(self, rows: Tensor, first: int, count: int, device: torch.device) -> Tensor:
        """(rows, count) int64 below 2^32, from `first`, a multiple of 4."""
        if count > _BLOCK:
            return self._made(self.samples[rows], first, count, device)[:, :count]
        kept = self._kept.get(device)
        if kept is None or kept.shape[1] < first + count:
            have = 0 if kept is None else kept.shape[1]
            more = self._made(self.samples, have, -(-(first + count - have) // _BLOCK) * _BLOCK, device)
            kept = self._kept[device] = more if kept is None else torch.cat([kept, more], 1)
        piece = kept[:, first : first + count]
        return piece if len(rows) == len(kept) else piece[rows.to(device)]

    def _made(self, samples: Tensor, first: int, count: int, device: torch.device) -> Tensor:
        places = torch.arange(first // 4, (first + count + 3) // 4, device=device)
        made = philox((places[None], samples.to(device)[:, None], self.step, self.branch), self.key)
        return torch.stack(made, -1).flatten(1)


class Counted:
    """`degradation.draws.SampleDraws` by Philox4x32-10 (`diffusion.noise`).

    Uniform numbers are the same to the bit on every device, normal ones to the last digit of logarithm and cosine.
    """

    def __init__(self, seed: int, step: int, samples: Sequence[int], device: torch.device) -> None:
        """seed: any integer, taken modulo 2^64. step, samples: 0 to 2^32 - 1."""
        self.device = device
        key = (seed & _MASK, seed >> 32 & _MASK)
        self._sequences = _Sequences(key, step, torch.as_tensor(samples, dtype=torch.long), 0)
        self._rows = torch.arange(len(samples))
        self._used = 0

    def rand(self, shape: tuple[int, ...], *, dtype: torch.dtype = torch.float32, host: bool = False) -> Tensor:
        """Uniform in [0, 1), with 24 bits in float32 and 32 in float64."""
        words = self._words(shape, HOST if host else self.device)
        if dtype == torch.float64:
            return words.double().mul_(2.0**-32).view(shape)
        return (words >> 8).float().mul_(2.0**-24).view(shape)

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal; four numbers of a sample from four words."""
        count = math.prod(shape[1:])
        quads = self._words((shape[0], -(-count // 4) * 4), self.device).view(shape[0], -1, 2, 2)
        pairs = torch.stack(box_muller(quads[..., 0], quads[..., 1]), -1)
        return pairs.flatten(1)[:, :count].reshape(shape)

    def branch(self, number: int) -> Counted:
        """Sequences with a branch of their own, which is one digit more in the number of this one's."""
        if not 0 <= number < _BRANCHES:
            raise ValueError(f"a branch is numbered from 0 to {_BRANCHES - 1}, not {number}")
        s = self._sequences
        own = s.branch * (_BRANCHES + 1) + number + 1
        return self._at(_Sequences(s.key, s.step, s.samples[self._rows], own), torch.arange(len(self._rows)), 0)

    def of(self, chosen: Tensor) -> Counted:
        """The sequences of some of the samples, which go on from here by themselves."""
        return self._at(self._sequences, self._rows[chosen], self._used)

    def _at(self, sequences: _Sequences, rows: Tensor, used: int) -> Counted:
        made = object.__new__(Counted)
        made.device, made._sequences, made._rows, made._used = self.device, sequences, rows, used
        return made

    def _words(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """(shape[0], n) words, n being as many as a sample has of `shape`."""
        count = math.prod(shape[1:])
        words = self._sequences.words(self._rows, self._used, count, device)
        self._used += -(-count // 4) * 4
        return words


_AT_ONCE = 1 << 25
"""Pixels that are gathered together."""
_SIMULATORS, _MILD, _MILD_NOISE = range(3)
"""Branches of a sample's numbers."""


class Places(NamedTuple):
    """Where crops are cut, all (n,) long on the processor: the upper left corner, the side, quarter turns and whether mirrored."""

    top: Tensor
    left: Tensor
    side: Tensor
    turns: Tensor
    flip: Tensor


class Album:
    """Decoded pictures one behind the other in the memory of a device."""

    def __init__(self, pictures: Sequence[Picture], device: torch.device) -> None:
        """Decode and bring there all that can be read; the others go on their store's list."""
        ends = np.cumsum([0, *(p.size[0] * p.size[1] for p in pictures)])
        self.pixels = torch.empty(int(ends[-1]), 3, dtype=torch.uint8, device=device)
        self.rows: dict[Picture, int] = {}
        with ThreadPoolExecutor() as pool:
            for n, pixels in enumerate(pool.map(_tried, pictures)):
                if pixels is not None:
                    self.pixels[ends[n] : ends[n + 1]] = torch.tensor(pixels).view(-1, 3).to(device)
                    self.rows[pictures[n]] = n
        self.told = torch.tensor([[int(first), *p.size] for first, p in zip(ends, pictures, strict=False)])
        """(pictures, 3) long on the processor: the first pixel, height and width of each."""

    def cut(self, rows: Tensor, places: Places, size: int) -> Tensor:
        """Crops (n, 3, size, size) float32 in [0, 1] of the pictures in these rows, as `data.dataset.told_crops` cuts them."""
        at_once = max(1, _AT_ONCE // int(places.side.max()) ** 2)
        parts = zip(rows.split(at_once), *(one.split(at_once) for one in places), strict=True)
        return torch.cat([self._cut(own, Places(*place), size) for own, *place in parts])

    def _cut(self, rows: Tensor, places: Places, size: int) -> Tensor:
        longest, device = int(places.side.max()), self.pixels.device
        numbers = torch.stack([*self.told[rows].unbind(1), *places], 1).to(device, non_blocking=True)
        first, height, width, top, left, side, turns, flip = numbers[:, :, None, None].unbind(1)
        lines = torch.arange(longest, device=device)
        # Lines beyond a smaller crop's own are never read: their weights are 0.
        down = torch.minimum(lines.view(1, -1, 1), side - 1)
        right = torch.minimum(lines.view(1, 1, -1), side - 1)
        right = torch.where(flip == 1, side - 1 - right, right)
        under, beside = side - 1 - down, side - 1 - right
        row = torch.where(turns == 0, down, torch.where(turns == 1, right, torch.where(turns == 2, under, beside)))
        column = torch.where(turns == 0, right, torch.where(turns == 1, under, torch.where(turns == 2, beside, down)))
        at = first + _mirrored(top + row, height) * width + _mirrored(left + column, width)
        found = self.pixels[at].permute(0, 3, 1, 2).contiguous().float() / 255
        if bool((places.side == size).all()):
            return found
        weights = _antialiased(side, size, longest)
        return weights @ found @ weights.transpose(-1, -2)


def _tried(picture: Picture) -> np.ndarray | None:
    try:
        return picture.store.decoded(picture)
    except Unreadable:
        return None


def _mirrored(at: Tensor, n: Tensor) -> Tensor:
    """Indices beyond n pixels by reflection, the edge repeated."""
    at = at % (2 * n)
    return torch.where(at < n, at, 2 * n - 1 - at)


def _antialiased(side: Tensor, size: int, longest: int) -> Tensor:
    """(n, 1, size, longest) weights that reduce `side` (n, 1, 1) pixels to `size`, as torch's antialiased bilinear interpolation does."""
    side = side[:, None]
    scale = side / size
    centre = (torch.arange(size, device=side.device).view(-1, 1) + 0.5) * scale
    place = torch.arange(longest, device=side.device) + 0.5
    weight = (1 - (place - centre).abs() / scale).clamp_min(0) * (place < side)
    return weight / weight.sum(-1, keepdim=True)


class OnDevice(Source):
    """A source whose batches are made on a device."""

    def __init__(self, source: Source, device: torch.device) -> None:
        """Bring all photographs of `source` there. Raises InputError where too many, or all of an entry, cannot be read."""
        self.data, self.store, self.photos, self.pairs = source.data, source.store, source.photos, source.pairs
        self.device = device
        started = time.perf_counter()
        self.album = Album(sorted(source.pictures, key=lambda p: (str(p.path), p.half)), device)
        self.decoding = time.perf_counter() - started
        """Seconds that it took to bring them there."""
        self.store.check()
        self.rows = [self._rows(found) for found in self.entries]
        """Of every entry (photographs, 2) long: where the clean and the degraded picture are, the second -1 where there is none."""

    def _rows(self, found: list[Photograph]) -> Tensor:
        rows = self.album.rows
        both = [(p.clean, p.degraded) for p in found]
        kept = [(rows[c], -1 if d is None else rows[d]) for c, d in both if c in rows and (d is None or d in rows)]
        if found and not kept:
            raise InputError(f"none of {len(found)} photographs can be read; the last is {found[-1].clean.path}")
        return torch.tensor(kept, dtype=torch.long).view(-1, 2)

    def hand(self, seed: int, step: int, count: int, part: int) -> Hand:
        """Draws keyed by (seed, step, sample), the samples of a step numbered through all its parts."""
        draws = Counted(seed, step, range(part * count, (part + 1) * count), self.device)
        return _Counting(self, draws, draws.branch(_SIMULATORS), count)


class _Counting(Hand):
    def __init__(self, source: OnDevice, draws: Counted, random: Counted, count: int) -> None:
        self.source, self.draws, self.count = source, draws, count
        self.random = self._simulators = random

    def _some(self, mask: Tensor) -> tuple[Tensor, Hand]:
        chosen = mask.nonzero().flatten()
        return chosen, _Counting(self.source, self.draws.of(chosen), self._simulators.of(chosen), len(chosen))

    def dealt(self, shares: Tensor) -> list[Hand]:
        entry = pick(shares, self.count, self.draws)
        return [self._some(entry == n)[1] for n in range(len(shares))]

    def crops(self, entry: int, size: int, reach: int) -> tuple[Tensor, Tensor | None]:
        rows, album = self.source.rows[entry], self.source.album
        u = self.draws.rand((self.count, 6), dtype=torch.float64, host=True)
        chosen = rows[(u[:, 0] * len(rows)).long()]
        height, width = album.told[chosen[:, 0]][:, 1:].unbind(1)
        most = torch.minimum(height, width).clamp_max(reach).clamp_min(size)
        least = torch.div(most, 2, rounding_mode="floor").clamp_min(size)
        side = least + (u[:, 1] * (most + 1 - least)).long()
        top = (u[:, 2] * (height - side + 1).clamp_min(1)).long()
        left = (u[:, 3] * (width - side + 1).clamp_min(1)).long()
        limits = torch.tensor(TURNS, dtype=torch.float64).cumsum(0)[:-1]
        turns = torch.searchsorted(limits, u[:, 5].contiguous(), right=True)
        places = Places(top, left, side, turns, (u[:, 4] < 0.5).long())
        paired = bool((chosen[:, 1] >= 0).all())
        return album.cut(chosen[:, 0], places, size), album.cut(chosen[:, 1], places, size) if paired else None

    def parted(self, share: float) -> list[tuple[Tensor, Hand]]:
        mask = self.draws.rand((self.count,), dtype=torch.float64, host=True) < share
        return [self._some(mask), self._some(~mask)]

    def touched(self, y: Tensor, share: float) -> Tensor:
        if share == 0:
            return y
        chosen = (self.draws.rand((self.count,), dtype=torch.float64, host=True) < share).nonzero().flatten()
        if len(chosen) == 0:
            return y
        own, here = self.draws.of(chosen), chosen.to(y.device)
        steps = wild.mild(len(chosen), own.branch(_MILD))
        return y.index_copy(0, here, wild.carry_out(y[here], steps, draws=own.branch(_MILD_NOISE)))
