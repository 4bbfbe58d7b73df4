"""Random numbers keyed by (seed, step, sample): the same on every device, made there, and a sample's own whatever batch it is in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unveil.diffusion.noise import box_muller, philox

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
