"""A captioner on this machine: any image-to-text model of transformers (BLIP, GIT, ...) from a folder or the hub."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from unveil.errors import ModelError
from unveil.zeroshot.ldrps.captions.endpoint import picture

WORDS = 40
"""Most new tokens of a caption."""


@lru_cache(maxsize=1)
def _loaded(name: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError as e:
        raise ModelError("a local captioner needs transformers: pip install 'unveil[latent]'") from e
    try:
        return AutoProcessor.from_pretrained(name), AutoModelForImageTextToText.from_pretrained(name).eval()
    except (OSError, ValueError, ImportError, KeyError) as e:
        raise ModelError(
            f"{name} is no image-to-text model that transformers can load ({e}); give a folder, or the hub id of one such as BLIP"
        ) from e


def ask(image: Tensor, name: str, model: str = "") -> str:
    """Caption an image (3, H, W) in [-1, 1] with the model in a folder or of a hub id, greedily. Raises ModelError."""
    processor, network = _loaded(name)
    inputs = processor(images=picture(image), return_tensors="pt")
    with torch.no_grad():
        tokens = network.generate(**inputs, max_new_tokens=WORDS, do_sample=False)
    return processor.batch_decode(tokens, skip_special_tokens=True)[0]
