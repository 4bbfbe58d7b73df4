"""One noise field for a whole photograph, indexed by position, so that tiles, their order and their batches all see the same noise."""

from __future__ import annotations

import math

import numpy as np
import torch

from unveil.errors import UnveilError

BLOCK = 64
_WORD = 1 << 64


def field(seed: int, step: int, top: int, left: int, height: int, width: int, channels: int) -> torch.Tensor:
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
