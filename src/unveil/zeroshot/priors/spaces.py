"""Priors by the space that diffuses: pixels (diffusers' UNet2DModel: DDPM, ADM), or latents of an autoencoder (Stable Diffusion's shape).

Texts may steer the latter: CLIP's tokens and vectors, through transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.diffusion.prediction import to_x0
from unveil.errors import InputError, ModelError, note
from unveil.networks.diffusers_networks import AutoencoderKL
from unveil.util.extras import installing
from unveil.util.words import first_line
from unveil.zeroshot.priors.scheduler import Preconditioning


@dataclass(frozen=True)
class Text:
    """positive, negative: (1, tokens, width), what the network looks at while it denoises."""

    positive: Tensor
    negative: Tensor


Encoder = Callable[[str], Tensor]
"""A text -> its vectors (1, tokens, width)."""


def clip_text(tokenizer: Any, model: Any) -> Encoder:
    """The encoder of Stable Diffusion's folders. Texts beyond the tokenizer's length (77) are cut, with a warning that says where."""

    def encode(text: str) -> Tensor:
        # A tokenizer saved without a length says 10^30; the model then knows how many positions it has.
        most = int(min(tokenizer.model_max_length, model.config.max_position_embeddings))
        whole = tokenizer(text, truncation=False, padding=False, verbose=False).input_ids
        if len(whole) > most:
            lost = tokenizer.decode(whole[most - 1 : -1], skip_special_tokens=True)
            note(f"the prompt has {len(whole)} tokens, {most} are read; not read: {lost!r}", stacklevel=4)
        tokens = tokenizer(text, padding="max_length", max_length=most, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            return model(tokens.to(model.device))[0]

    return encode


def _variant(folder: Path) -> str | None:
    """Which variant of the text encoder's weights is to be read: fp16 where there is no other."""
    names = [p.name for p in (folder / "text_encoder").glob("*.safetensors")]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def open_text(folder: Path, device: torch.device, dtype: torch.dtype) -> Encoder:
    """The text encoder of a folder (tokenizer/, text_encoder/). Raises ModelError without transformers, or for a damaged one."""
    try:
        from transformers import CLIPTextModel, CLIPTokenizer
    except ImportError as error:
        raise ModelError(
            f"{folder}: its text encoder needs transformers; install it with {installing('latent')}"
        ) from error
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        model = CLIPTextModel.from_pretrained(
            folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=dtype, variant=_variant(folder)
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: its tokenizer or text encoder cannot be read ({first_line(error)})") from error
    return clip_text(tokenizer, model.to(device).eval().requires_grad_(False))  # type: ignore[union-attr]


CPU = torch.device("cpu")
_NO_TEXT = "{} is not steered by text; leave the prompt out, or give a Stable Diffusion as --prior"


@dataclass(frozen=True, eq=False)
class PixelPrior:
    """See `prior.Prior` for the fields. network: (x_t (B, 3, h, w), the model's steps (B,)) -> what `prediction` names, (B, 3, h, w), or
    (B, 6, h, w) where it also learned a variance, which is left out. preconditioning: see `Preconditioning`. label: the
    class that it is told, None for a network without.
    """

    name: str
    sha256: str
    process: GaussianPath
    network: Callable[[Tensor, Tensor], Tensor]
    prediction: str
    multiple_of: int
    native: int
    where: torch.device = CPU
    dtype: torch.dtype = torch.float32
    channels: int = 3
    factor: int = 1
    prompted: bool = False
    preconditioning: Preconditioning | None = None
    label: int | None = None

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.where

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """E[x_0 | x_t], (B, 3, h, w) fp32. condition and guidance are None and of no effect here."""
        timesteps = torch.full((len(z_t),), float(self.process.timestep[t]), device=z_t.device)
        model_input = z_t if self.preconditioning is None else self.preconditioning.model_input(z_t.float(), t)
        output = self.network(model_input.to(self.dtype), timesteps).float()[:, : self.channels]
        return _estimate(self, output, z_t.float(), t)

    def condition(self, prompt: str, negative: str = "") -> None:
        """None. Raises InputError for a text, which nothing here can read."""
        if prompt or negative:
            raise InputError(_NO_TEXT.format(self.name))

    def encode(self, x: Tensor) -> Tensor:
        """The image itself, fp32."""
        return x.float()

    def decode(self, z: Tensor) -> Tensor:
        """The state itself, fp32."""
        return z.float()


@dataclass(frozen=True, eq=False)
class LatentPrior:
    """See `prior.Prior` for the fields.

    network: (z_t (B, C, h, w), the model's steps (B,), vectors of a text (B, tokens, width) or None) -> what `prediction` names.
    vae: images and latents. scale, shift: the latents that diffuse are (vae's - shift) * scale. encoder: of texts, None where none steers.
    preconditioning: see `Preconditioning`. label: the class that the network is told, None for one without.
    tiny: a small decoder of the latents that diffuse to images in [-1, 1] (TAESD), used instead of the autoencoder's where a gradient
    is asked for: an eighteenth of its cost; what is finally decoded is decoded in full.
    """

    name: str
    sha256: str
    process: GaussianPath
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
    preconditioning: Preconditioning | None = None
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
        timesteps = torch.full((len(z_t),), float(self.process.timestep[t]), device=z_t.device)
        z = (z_t if self.preconditioning is None else self.preconditioning.model_input(z_t.float(), t)).to(self.dtype)
        text = condition or (self.condition("") if self.prompted else None)
        if text is None:
            output = self.network(z, timesteps, None).float()
        elif guidance == 1.0 or text.positive is text.negative:
            output = self.network(z, timesteps, text.positive.expand(len(z), -1, -1)).float()
        else:
            both = torch.cat([t.expand(len(z), -1, -1) for t in (text.negative, text.positive)])
            negative, positive = (
                self.network(torch.cat([z, z]), torch.cat([timesteps, timesteps]), both).float().chunk(2)
            )
            output = negative + guidance * (positive - negative)
        return _estimate(self, output, z_t.float(), t)

    def condition(self, prompt: str, negative: str = "") -> Text | None:
        """A text and what to keep away from. Raises InputError where no text can steer it; warns of one that is too long."""
        if self.encoder is None:
            if prompt or negative:
                raise InputError(_NO_TEXT.format(self.name))
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


def _estimate(prior: PixelPrior | LatentPrior, output: Tensor, z_t: Tensor, t: int) -> Tensor:
    """z0_hat from the network's output for a state z_t at index t."""
    if prior.preconditioning is not None:
        return prior.preconditioning.x0_hat(output, z_t, t)
    return to_x0(prior.prediction, prior.process, t, output, z_t, z_t)
