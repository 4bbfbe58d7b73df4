"""What every zero-shot method asks of a frozen generative model, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath


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

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


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
