"""Noise that belongs to a sample, or to a pixel: the same seed gives the same numbers, whatever the batch, the order, or what ran before.

`seeded` draws whole images with torch's generator. `normals` is a function of (seed, step, channel, row, column) without any state, by
Philox4x32-10 in torch's integer arithmetic (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
the same random bits on every device, and the number of one pixel without those before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unveil.diffusion.sampling import Noise
from unveil.errors import InputError


def seeded(seeds: Sequence[int]) -> Noise:
    """One generator per sample, reseeded for every draw: draw k of sample i depends on seeds[i], k and the shape alone.

    Drawn on the CPU in float32, whatever the device. torch's CPU generator keeps 32 bits of its seed, so seeds that
    agree modulo 2^32 give the same noise. Raises InputError where a batch has more or fewer samples than there are seeds.
    """

    def draw(index: int, like: Tensor) -> Tensor:
        if len(seeds) != len(like):
            raise InputError(f"a batch of {len(like)} samples needs as many seeds, got {len(seeds)}")
        out = [
            torch.randn(like.shape[1:], generator=torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63))
            for seed in seeds
        ]
        return torch.stack(out).to(like)

    return draw


_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_MASK = 0xFFFFFFFF
_AT_ONCE = {"cpu": 1 << 14}
"""Pixels that are worked on together: on a processor as many as stay in its cache, elsewhere what little memory takes."""
_ELSEWHERE = 1 << 22


def philox(
    counter: tuple[Tensor | int, Tensor | int, Tensor | int, Tensor | int], key: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Ten rounds: four int64 tensors of the broadcast shape, each number in [0, 2^32), as those given are.

    counter: int64 tensors of any shapes that broadcast, or numbers, at least one of them a tensor.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _product(_MULTIPLIERS[0], c0)
        high1, low1 = _product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return torch.broadcast_tensors(c0, c1, c2, c3)  # type: ignore[arg-type]


def _product(factor: int, x: Tensor | int) -> tuple[Tensor | int, Tensor | int]:
    """Upper and lower 32 bits of factor * x, both below 2^32: int64 wraps around, and its bits are those of the product without a sign."""
    both = factor * x
    return both >> 32 & _MASK, both & _MASK


def normals(
    seed: int,
    step: int,
    top: int,
    left: int,
    height: int,
    width: int,
    channels: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise (channels, height, width) of the window at (top, left), a pure function of (seed, step, channel, row, column).

    Any window equals the same part of any larger one, bit for bit on one device; between devices the bits are the same and logarithm and
    cosine differ in their last digit. Four channels at a time by the transform of Box and Muller (1958), so that the first ones do not
    depend on how many follow. seed: any integer, taken modulo 2^64: the key. step: below 2^32; counts sampling steps, or numbers samples
    too. Raises InputError for a window that is empty or begins at a negative place, or a step out of range.
    """
    if min(top, left) < 0 or min(height, width, channels) < 1 or not 0 <= step <= _MASK:
        raise InputError(
            f"no noise for {channels} channels of {width} x {height} pixels at ({top}, {left}), step {step}"
        )
    device = torch.device(device)
    key = (seed & _MASK, seed >> 32 & _MASK)
    out = torch.empty(channels, height, width, device=device)
    columns = torch.arange(left, left + width, device=device)[None, :]
    rows_at_once = max(1, _AT_ONCE.get(device.type, _ELSEWHERE) // width)
    for first in range(0, height, rows_at_once):
        last = min(height, first + rows_at_once)
        rows = torch.arange(top + first, top + last, device=device)[:, None]
        for group in range(-(-channels // 4)):
            words = philox((columns, rows, step, group), key)
            four = [one for pair in (words[:2], words[2:]) for one in box_muller(*pair)][: channels - 4 * group]
            for c, numbers in enumerate(four, 4 * group):
                out[c, first:last] = numbers
    return out


def box_muller(bits: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors of standard normal numbers from two of words below 2^32.

    (bits + 1) / 2^32 lies in (0, 1], so that the logarithm is finite and the radius at most 6.7.
    """
    radius = bits.float().add_(1).mul_(2.0**-32).log_().mul_(-2).sqrt_()
    angle = others.float().mul_(math.tau * 2.0**-32)
    return radius * angle.cos(), radius * angle.sin()
