"""A prior that tells how long it was asked for answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.zeroshot.prior import Prior


@dataclass
class TimedPrior:
    """`prior` with the seconds inside `denoise`, `encode` and `decode` summed up in `seconds`, backward passes left out."""

    prior: Prior
    seconds: float = 0.0

    def __getattr__(self, name: str) -> Any:
        """What takes no time."""
        return getattr(self.prior, name)

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """See `Prior.denoise`."""
        return self._timed(lambda: self.prior.denoise(z_t, t, condition, guidance))

    def encode(self, x: Tensor) -> Tensor:
        """See `Prior.encode`."""
        return self._timed(lambda: self.prior.encode(x))

    def decode(self, z: Tensor) -> Tensor:
        """See `Prior.decode`."""
        return self._timed(lambda: self.prior.decode(z))

    def _timed(self, call: Callable[[], Tensor]) -> Tensor:
        started = time.perf_counter()
        out = call()
        if out.is_cuda:
            torch.cuda.synchronize(out.device)
        self.seconds += time.perf_counter() - started
        return out
