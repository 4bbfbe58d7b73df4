"""The text for the prior, written by a model that looks at the photograph. Nothing is asked unless the user names one."""

from __future__ import annotations

from torch import Tensor

QUESTION = (
    "This photograph is of low quality. Name what it would show if it had been taken well: main subject, colours, "
    "orientation. Words and short phrases, twenty at most, nothing about its faults."
)
"""What LD-RPS asks its multimodal model for, in our words."""


def caption(image: Tensor, captioner: str, model: str = "") -> str:
    """A prompt for an image (3, H, W) in [-1, 1], one line.

    captioner: an http(s) URL of an OpenAI-compatible endpoint (the photograph is sent there), or a folder or hub id of a
    transformers image-to-text model. model: its name at the endpoint. Raises ModelError where it cannot be reached or run.
    """
    if captioner.startswith(("http://", "https://")):
        from unveil.zeroshot.ldrps.captions.endpoint import ask
    else:
        from unveil.zeroshot.ldrps.captions.local import ask
    return " ".join(ask(image, captioner, model).split())
