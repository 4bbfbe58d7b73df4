"""A prior whose states are pixels: diffusers' UNet2DModel (DDPM, ADM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.prediction import to_x0
from unveil.diffusion.process import Process
from unveil.errors import InputError
from unveil.zeroshot.priors.scheduler import Reading

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class PixelPrior:
    """See `prior.Prior` for the fields. network: (x_t (B, 3, h, w), the model's steps (B,)) -> what `prediction` names, (B, 3, h, w), or
    (B, 6, h, w) where it also learned a variance, which is left out. reading: see `Reading`. label: the
    class that it is told, None for a network without.
    """

    name: str
    sha256: str
    process: Process
    network: Callable[[Tensor, Tensor], Tensor]
    prediction: str
    multiple_of: int
    native: int
    where: torch.device = CPU
    dtype: torch.dtype = torch.float32
    channels: int = 3
    factor: int = 1
    prompted: bool = False
    reading: Reading | None = None
    label: int | None = None

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.where

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """E[x_0 | x_t], (B, 3, h, w) fp32. condition and guidance are None and of no effect here."""
        told = torch.full((len(z_t),), float(self.process.time[t]), device=z_t.device)
        shown = z_t if self.reading is None else self.reading.ask(z_t.float(), t)
        said = self.network(shown.to(self.dtype), told).float()[:, : self.channels]
        if self.reading is not None:
            return self.reading.read(said, z_t.float(), t)
        return to_x0(self.prediction, self.process, t, said, z_t.float(), z_t.float())

    def condition(self, prompt: str, negative: str = "") -> None:
        """None. Raises InputError for a text, which nothing here can read."""
        if prompt or negative:
            raise InputError(
                f"{self.name} is not steered by text; leave the prompt out, or give a Stable Diffusion as --prior"
            )

    def encode(self, x: Tensor) -> Tensor:
        """The image itself, fp32."""
        return x.float()

    def decode(self, z: Tensor) -> Tensor:
        """The state itself, fp32."""
        return z.float()
