"""Where the simulators' random numbers come from: one generator of torch for a whole batch, or numbers that belong to each sample.

Of a generator all draws are made on the processor, and what a sample gets depends on the samples before it. `SampleDraws` are made on
the device where the damage is computed, a sample's own whatever batch it is in; decisions that choose what is computed are made on the
processor from the same numbers, so that none has to be fetched.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class SampleDraws(Protocol):
    """Random numbers of the samples of a batch, each with its own sequence."""

    @property
    def device(self) -> torch.device:
        """Where numbers are made."""
        ...

    def rand(self, shape: tuple[int, ...], *, dtype: torch.dtype = torch.float32, host: bool = False) -> Tensor:
        """Uniform in [0, 1); shape[0] is the number of samples. host: on the processor and not on the device."""
        ...

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal."""
        ...

    def branch(self, number: int) -> SampleDraws:
        """Sequences of the same samples that have nothing in common with this one or with those of another number, 0 to 29."""
        ...

    def of(self, chosen: Tensor) -> SampleDraws:
        """The sequences of the samples `chosen` (long, on the processor), from where this one stands."""
        ...


Random = torch.Generator | SampleDraws


def rand(shape: tuple[int, ...], random: Random, *, dtype: torch.dtype = torch.float32, host: bool = False) -> Tensor:
    """Uniform in [0, 1), on the device of `random`, or on the processor where `host`; see `SampleDraws.rand`."""
    if isinstance(random, torch.Generator):
        return torch.rand(shape, generator=random, dtype=dtype)
    return random.rand(shape, dtype=dtype, host=host)


def randn(shape: tuple[int, ...], random: Random) -> Tensor:
    """Standard normal, on the device of `random`."""
    return torch.randn(shape, generator=random) if isinstance(random, torch.Generator) else random.randn(shape)


def pick(odds: Tensor, b: int, random: Random) -> Tensor:
    """(b,) long on the processor, one index for each sample by the odds (n,), or by its own (b, n)."""
    if isinstance(random, torch.Generator):
        if odds.ndim == 2:
            return torch.multinomial(odds, 1, generator=random).flatten()
        return torch.multinomial(odds, b, replacement=True, generator=random)
    limits = odds.double().cumsum(-1).expand(b, -1)
    at = rand((b, 1), random, dtype=torch.float64, host=True) * limits[:, -1:]
    # The last of those that can be picked, should rounding lead past it.
    most = (odds > 0).expand(b, -1).long() * torch.arange(1, odds.shape[-1] + 1)
    return torch.minimum(torch.searchsorted(limits.contiguous(), at, right=True).flatten(), most.amax(1) - 1)


def whole(shape: tuple[int, ...], below: int, random: Random) -> Tensor:
    """Long, 0 to below - 1 equally often, on the device of `random`."""
    if isinstance(random, torch.Generator):
        return torch.randint(0, below, shape, generator=random)
    return (random.rand(shape) * below).long()


def branch(random: Random, number: int) -> Random:
    """Numbers for a part of a simulator that not all samples go through, so that the others' do not depend on it."""
    return random if isinstance(random, torch.Generator) else random.branch(number)


def of(random: Random, chosen: Tensor) -> Random:
    """The numbers of the samples `chosen` (long, on the processor)."""
    return random if isinstance(random, torch.Generator) else random.of(chosen)
