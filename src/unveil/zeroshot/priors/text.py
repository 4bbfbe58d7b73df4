"""Prompts for priors that are steered by text: CLIP's tokens and vectors, through transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil.errors import ModelError, note


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
            f"{folder}: its text encoder needs transformers; install it with pip install 'unveil[latent]' -c constraints.txt"
        ) from error
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        model = CLIPTextModel.from_pretrained(
            folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=dtype, variant=_variant(folder)
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder}: its tokenizer or text encoder cannot be read ({str(error).splitlines()[0]})"
        ) from error
    return clip_text(tokenizer, model.to(device).eval().requires_grad_(False))  # type: ignore[union-attr]
