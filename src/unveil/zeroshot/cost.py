"""What a zero-shot method asks of its prior, counted, and what that costs in floating-point operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from unveil.zeroshot.prior import Prior


@dataclass
class Counts:
    """Images that went through each part.

    denoise: through the network, both halves of classifier-free guidance. decode: plain; decode_gradient: also backwards.
    learn: optimiser steps of an adapter, one per image that it learns from.
    guide: evaluations of the guidance loss with their gradient, the decoder aside.
    """

    denoise: int = 0
    decode: int = 0
    decode_gradient: int = 0
    encode: int = 0
    learn: int = 0
    guide: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Price:
    """FLOPs of one of each of `Counts`; a multiplication and an addition are two."""

    denoise: float
    decode: float
    decode_gradient: float
    encode: float
    learn: float = 0.0
    guide: float = 0.0

    def bill(self, counts: Counts) -> float:
        """FLOPs of it all: the sum over parts of count times price."""
        return sum(getattr(self, part) * number for part, number in asdict(counts).items())


class Counted:
    """A prior that counts what is asked of it, in `counts`; everything else is the prior's own."""

    def __init__(self, prior: Prior) -> None:
        self._prior, self.counts = prior, Counts()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prior, name)

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        self.counts.denoise += len(z_t) * (2 if condition is not None and guidance != 1 else 1)
        return self._prior.denoise(z_t, t, condition, guidance)

    def encode(self, x: Tensor) -> Tensor:
        self.counts.encode += len(x)
        return self._prior.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        if torch.is_grad_enabled() and z.requires_grad:
            self.counts.decode_gradient += len(z)
        else:
            self.counts.decode += len(z)
        return self._prior.decode(z.clone())  # torch's FLOP counter cannot follow a leaf into a module


def flops(work: Callable[[], Any]) -> float:
    """FLOPs of calling `work`, backward passes included: torch's count of matrix products, convolutions and attention."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def prior_price(prior: Prior, height: int, width: int) -> Price:
    """What one image of a size (multiples of `prior.multiple_of`) costs a prior, by running each part once."""
    z = torch.zeros(1, prior.channels, height // prior.factor, width // prior.factor, device=prior.device)
    x = torch.zeros(1, 3, height, width, device=prior.device)
    condition = prior.condition("")

    def differentiated() -> None:
        leaf = z.clone().requires_grad_(True)
        decoded = prior.decode(leaf.clone())  # see Counted.decode
        torch.autograd.grad(decoded.sum(), leaf)

    with torch.no_grad():
        plain = [
            flops(work)
            for work in (lambda: prior.denoise(z, 1, condition), lambda: prior.decode(z), lambda: prior.encode(x))
        ]
    with torch.enable_grad():
        backwards = flops(differentiated)
    return Price(plain[0], plain[1], backwards, plain[2])


SD21 = Price(denoise=0.804e12, decode=2.515e12, decode_gradient=5.063e12, encode=1.117e12)
"""Stable Diffusion 2.1-base at 512 x 512, counted the same way on tensors without data."""

SD21_TAESD = Price(denoise=0.804e12, decode=0.141e12, decode_gradient=0.283e12, encode=1.117e12)
"""The same with the tiny decoder TAESD."""
