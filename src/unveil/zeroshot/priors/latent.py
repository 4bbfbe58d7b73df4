"""A prior whose states are latents of an autoencoder: Stable Diffusion and everything of its shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.prediction import to_x0
from unveil.diffusion.process import Process
from unveil.errors import InputError
from unveil.networks.autoencoder_kl import AutoencoderKL
from unveil.zeroshot.priors.scheduler import Reading
from unveil.zeroshot.priors.text import Encoder, Text

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class LatentPrior:
    """See `prior.Prior` for the fields.

    network: (z_t (B, C, h, w), the model's steps (B,), vectors of a text (B, tokens, width) or None) -> what `prediction` names.
    vae: images and latents. scale, shift: the latents that diffuse are (vae's - shift) * scale. encoder: of texts, None where none steers.
    reading: see `Reading`. label: the class that the network is told, None for one without.
    tiny: a small decoder of the latents that diffuse to images in [-1, 1] (TAESD), used instead of the autoencoder's where a gradient
    is asked for: an eighteenth of its cost; what is finally decoded is decoded in full.
    """

    name: str
    sha256: str
    process: Process
    network: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    prediction: str
    vae: AutoencoderKL
    scale: float
    multiple_of: int
    native: int
    shift: float = 0.0
    encoder: Encoder | None = None
    tiny: Callable[[Tensor], Tensor] | None = None
    where: torch.device = CPU
    dtype: torch.dtype = torch.float32
    reading: Reading | None = None
    label: int | None = None
    _texts: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.where

    @property
    def channels(self) -> int:
        """Of the latents."""
        return self.vae.latent_channels

    @property
    def factor(self) -> int:
        """Image pixels along one side of a latent."""
        return self.vae.factor

    @property
    def prompted(self) -> bool:
        """Whether a text can steer it."""
        return self.encoder is not None

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """E[z_0 | z_t], (B, channels, h, w) fp32; with guidance g the prediction is p_negative + g (p_positive - p_negative).

        One evaluation of the network where g is 1 or both texts are the same, else two in one batch (Ho and Salimans 2022).
        """
        told = torch.full((len(z_t),), float(self.process.time[t]), device=z_t.device)
        z = (z_t if self.reading is None else self.reading.ask(z_t.float(), t)).to(self.dtype)
        text = condition or (self.condition("") if self.prompted else None)
        if text is None:
            said = self.network(z, told, None).float()
        elif guidance == 1.0 or text.positive is text.negative:
            said = self.network(z, told, text.positive.expand(len(z), -1, -1)).float()
        else:
            both = torch.cat([t.expand(len(z), -1, -1) for t in (text.negative, text.positive)])
            negative, positive = self.network(torch.cat([z, z]), torch.cat([told, told]), both).float().chunk(2)
            said = negative + guidance * (positive - negative)
        if self.reading is not None:
            return self.reading.read(said, z_t.float(), t)
        return to_x0(self.prediction, self.process, t, said, z_t.float(), z_t.float())

    def condition(self, prompt: str, negative: str = "") -> Text | None:
        """A text and what to keep away from. Raises InputError where no text can steer it; warns of one that is too long."""
        if self.encoder is None:
            if prompt or negative:
                raise InputError(
                    f"{self.name} is not steered by text; leave the prompt out, or give a Stable Diffusion as --prior"
                )
            return None
        for text in (prompt, negative):
            if text not in self._texts:
                self._texts[text] = self.encoder(text).to(self.dtype)
        return Text(self._texts[prompt], self._texts[negative])

    def encode(self, x: Tensor) -> Tensor:
        """Means of the latents of images (B, 3, H, W) in [-1, 1], as they diffuse, fp32."""
        return (self.vae.encode(x.to(self.dtype))[0].float() - self.shift) * self.scale

    def decode(self, z: Tensor) -> Tensor:
        """Images (B, 3, H, W), unclipped, fp32. With a gradient, blocks are computed again in the backward pass: bounded memory."""
        if self.tiny is not None and torch.is_grad_enabled() and z.requires_grad:
            return self.tiny(z.to(self.dtype)).float()
        return self.vae.decode((z / self.scale + self.shift).to(self.dtype)).float()
