"""Around a prior: evaluated tile by tile, so that the memory of its network does not grow with the photograph; and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unveil.photo import tiles
from unveil.zeroshot.prior import Prior


@dataclass
class TiledPrior:
    """`prior` evaluated on tiles that share a quarter of their side, blended; all else is the prior's own. One state, so no seams.

    tile: longest side of a tile in image pixels. With a gradient a tile's activations are computed again in the backward pass, so
    that only one tile's are ever kept. A network that looks at the whole image (attention, group norms) sees less than it would.
    """

    prior: Prior
    tile: int

    def __getattr__(self, name: str) -> Any:
        """What is not done in tiles."""
        return getattr(self.prior, name)

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """See `Prior.denoise`."""
        return self._blended(lambda z: self.prior.denoise(z, t, condition, guidance), z_t, 1, 1)

    def encode(self, x: Tensor) -> Tensor:
        """See `Prior.encode`."""
        return self._blended(self.prior.encode, x, self.prior.factor, 1)

    def decode(self, z: Tensor) -> Tensor:
        """See `Prior.decode`."""
        return self._blended(self.prior.decode, z, 1, self.prior.factor)

    def _blended(self, call: Callable[[Tensor], Tensor], x: Tensor, into: int, out_of: int) -> Tensor:
        """into, out_of: pixels of what goes in, and of what comes out, along one side of a pixel of the state."""
        unit = max(1, self.prior.multiple_of // self.prior.factor)
        height, width = (int(n) // into for n in x.shape[-2:])
        side = max(self.tile // self.prior.factor // unit, 2) * unit
        found = tiles.plan(height, width, side, side // 4 // unit * unit or unit, unit)
        if len(found) == 1:
            return call(x)
        total: Tensor | None = None
        for tile in found:
            part = x[(..., *(slice(w.start * into, w.stop * into) for w in tile.window))]
            watched = torch.is_grad_enabled() and part.requires_grad
            made = checkpoint(call, part, use_reentrant=False) if watched else call(part)
            assert isinstance(made, Tensor)
            weight = torch.from_numpy(tiles.weights(tile)).to(made)
            weight = weight.repeat_interleave(out_of, 0).repeat_interleave(out_of, 1)
            if total is None:
                total = made.new_zeros(*made.shape[:2], height * out_of, width * out_of)
            at = (..., *(slice(w.start * out_of, w.stop * out_of) for w in tile.window))
            total = _added(total, made * weight, at)
        assert total is not None
        return total


def _added(total: Tensor, part: Tensor, at: Any) -> Tensor:
    """total + part at a place; in place, which autograd follows since nothing reads the sum before it is whole."""
    total[at] += part
    return total


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
