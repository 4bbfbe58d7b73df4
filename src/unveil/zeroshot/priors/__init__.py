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


class Around:
    """A prior that sends whatever `prior` is asked to `denoise`, `encode` or `decode` through `around`; all else is the prior's own."""

    def __init__(self, prior: Any) -> None:
        self.prior: Prior = prior

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prior, name)

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        return self.around("denoise", lambda z: self.prior.denoise(z, t, condition, guidance), z_t)

    def encode(self, x: Tensor) -> Tensor:
        return self.around("encode", self.prior.encode, x)

    def decode(self, z: Tensor) -> Tensor:
        return self.around("decode", self.prior.decode, z)

    def around(self, part: str, call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """What `call`, the part of the prior that was asked for, makes of x."""
        raise NotImplementedError


class Measured(Around):
    """`prior` with what is asked of it in `counts`, and the seconds that it takes in `seconds`, backward passes left out."""

    def __init__(self, prior: Any) -> None:
        super().__init__(prior)
        self.counts, self.seconds = Counts(), 0.0

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        self.counts.denoise += len(z_t) if condition is not None and guidance != 1 else 0
        return super().denoise(z_t, t, condition, guidance)

    def around(self, part: str, call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if part == "decode":
            part = "decode_gradient" if torch.is_grad_enabled() and x.requires_grad else part
            x = x.clone()  # torch's FLOP counter cannot follow a leaf into a module
        setattr(self.counts, part, getattr(self.counts, part) + len(x))
        started = time.perf_counter()
        out = call(x)
        if out.is_cuda:
            torch.cuda.synchronize(out.device)
        self.seconds += time.perf_counter() - started
        return out


class TiledPrior(Around):
    """`prior` evaluated on tiles that share a quarter of their side, blended. One state, so no seams.

    tile: longest side of a tile in image pixels. With a gradient a tile's activations are computed again in the backward pass, so
    that only one tile's are ever kept. A network that looks at the whole image (attention, group norms) sees less than it would.
    It shares its tiles with `unveil.tiling`, and not the loop: that one plans its memory and heals tiles, outside autograd; this one goes
    between grids of two sizes, inside it.
    """

    def __init__(self, prior: Any, tile: int) -> None:
        super().__init__(prior)
        self.tile = tile

    def around(self, part: str, call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        # Pixels of what goes in, and of what comes out, along one side of a pixel of the state.
        into, out_of = (self.prior.factor if part == one else 1 for one in ("encode", "decode"))
        unit = max(1, self.prior.multiple_of // self.prior.factor)
        height, width = (int(n) // into for n in x.shape[-2:])
        side = max(self.tile // self.prior.factor // unit, 2) * unit
        found = tiles.plan(height, width, side, side // 4 // unit * unit or unit, unit)
        if len(found) == 1:
            return call(x)
        total: Tensor | None = None
        for tile in found:
            piece = x[(..., *(slice(w.start * into, w.stop * into) for w in tile.window))]
            watched = torch.is_grad_enabled() and piece.requires_grad
            made = checkpoint(call, piece, use_reentrant=False) if watched else call(piece)
            assert isinstance(made, Tensor)
            weight = torch.from_numpy(tiles.weights(tile)).to(made)
            weight = weight.repeat_interleave(out_of, 0).repeat_interleave(out_of, 1)
            if total is None:
                total = made.new_zeros(*made.shape[:2], height * out_of, width * out_of)
            at = (..., *(slice(w.start * out_of, w.stop * out_of) for w in tile.window))
            total[at] += (
                made * weight
            )  # in place, which autograd follows since nothing reads the sum before it is whole
        assert total is not None
        return total
