"""Frozen priors, pixel and latent diffusion models: what every zero-shot method asks of one, and what may be put around it.

Around it: a count of its evaluations, their seconds, and evaluation tile by tile, so that the memory of its network does not grow with the
photograph. `opening` opens priors from folders as diffusers keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unveil.diffusion.path import GaussianPath
from unveil.photo import tiles


class Prior(Protocol):
    """A frozen diffusion model of clean photographs, in pixels or in the latents of an autoencoder.

    name, sha256: what stands in manifests and beside numbers.
    process: its variance-preserving path over all the steps it was trained on; index 0 is clean, index t + 1 is the
    model's own step t.
    channels: of the space that diffuses (3 in pixels, usually 4 in latents). factor: image pixels along one side of a latent
    (1 in pixels). multiple_of: image sides must be multiples of this; methods pad by reflection. native: side in pixels
    that it was trained at. prompted: whether a text can steer it.
    """

    name: str
    sha256: str
    process: GaussianPath
    channels: int
    factor: int
    multiple_of: int
    native: int
    prompted: bool

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """z0_hat = E[z_0 | z_t], (B, channels, h, w) like z_t, fp32, at index t >= 1 of `process`; differentiable in z_t.

        condition: what `condition` returned, or None. guidance: weight of classifier-free guidance, 1 is none.
        """
        ...

    def condition(self, prompt: str, negative: str = "") -> Any:
        """A text as `denoise` takes it, None where `prompted` is false and the text is empty. Raises InputError for one that it
        cannot take.
        """
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to the space that diffuses, (B, channels, H / factor, W / factor). Deterministic."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Back to images (B, 3, H, W) around [-1, 1], unclipped, fp32; differentiable in z."""
        ...


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


@dataclass
class TiledPrior:
    """`prior` evaluated on tiles that share a quarter of their side, blended; all else is the prior's own. One state, so no seams.

    tile: longest side of a tile in image pixels. With a gradient a tile's activations are computed again in the backward pass, so
    that only one tile's are ever kept. A network that looks at the whole image (attention, group norms) sees less than it would.
    It shares its tiles with `unveil.tiling`, and not the loop: that one plans its memory and heals tiles, outside autograd; this one goes
    between grids of two sizes, inside it.
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
