"""Noise that belongs to a sample: same seed, same pixels, whatever the batch, the order, or what ran before."""

from __future__ import annotations

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
