"""A small prior and a degraded photograph for the tests of LD-RPS."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import pytest  # noqa: E402
import torch  # noqa: E402
from latents import Latents, latents  # noqa: E402
from torch import Tensor  # noqa: E402

from unveil.zeroshot.ldrps import LDRPSSettings  # noqa: E402


@pytest.fixture
def prior() -> Latents:
    return latents()


@pytest.fixture
def small() -> LDRPSSettings:
    return LDRPSSettings(steps=4, rounds=0, width=6, warm=0, inner=1, crop=32, task="denoise")


@pytest.fixture
def photograph() -> Tensor:
    """(2, 3, 64, 70) in [-1, 1], smooth, differently coloured, noisy."""
    g = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.randn(2, 3, 4, 4, generator=g), (64, 70), mode="bilinear")
    return (0.3 * smooth + 0.1 * torch.randn(2, 3, 64, 70, generator=g)).clamp(-1, 1)
