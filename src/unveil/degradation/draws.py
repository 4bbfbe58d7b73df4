"""What every simulator shares: checking its input and drawing per-sample parameters from a seeded generator."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from unveil.errors import InputError


def check(x: Tensor, severity: float | None = None) -> None:
    """Refuse what no simulator can degrade.

    x: (B, 3, H, W) float32, B, H, W >= 1. severity: None or a number in [0, 1]. Raises InputError otherwise.
    """
    if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"a batch to degrade must be a tensor of shape (B, 3, H, W) with no empty side, not {found}")
    if x.dtype != torch.float32:
        raise InputError(f"a batch to degrade must be float32 in [0, 1], not {x.dtype}; convert it first")
    if severity is not None and not 0.0 <= severity <= 1.0:
        raise InputError(f"severity must lie in [0, 1] (0 mildest, 1 strongest) or be None, not {severity!r}")


def uniform(b: int, generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> Tensor:
    """(b, 1, 1, 1) independent draws, uniform in [low, high)."""
    return low + (high - low) * torch.rand(b, 1, 1, 1, generator=generator)


def log_uniform(b: int, generator: torch.Generator, low: float, high: float) -> Tensor:
    """(b, 1, 1, 1) independent draws whose logarithm is uniform; 0 < low <= high."""
    return torch.exp(uniform(b, generator, math.log(low), math.log(high)))


def chance(b: int, generator: torch.Generator, probability: float) -> Tensor:
    """(b, 1, 1, 1) booleans, true with the given probability."""
    return torch.rand(b, 1, 1, 1, generator=generator) < probability


def severities(b: int, generator: torch.Generator, severity: float | None) -> Tensor:
    """(b, 1, 1, 1) severities in [0, 1]: `severity` for all, or uniform draws when it is None.

    The draw is made in either case, so that pinning the severity changes nothing else in the sequence of draws.
    """
    drawn = uniform(b, generator)
    return drawn if severity is None else torch.full_like(drawn, float(severity))


def geometric(s: Tensor, low: float, high: float) -> Tensor:
    """Strength for severity s in [0, 1], equal steps in the logarithm: low at 0, high at 1 (either may be larger)."""
    return low * (high / low) ** s


def own_seed(seed: int, name: str) -> int:
    """The seed for a photograph, so that many photographs damaged with one seed are damaged differently.

    Args:
        seed: The user's.
        name: The photograph's file name, without folders.

    Returns:
        0 to 2^32 - 1, since torch's generator on processors keeps no more.

    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big")
