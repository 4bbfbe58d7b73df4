"""What DA-CLIP is trained with: image and text brought together for content and degradation, and an L1 between images."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_SCALE = 100.0


def contrastive(image: Tensor, text: Tensor, log_scale: Tensor, group: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE (CLIP) of embeddings (B, embed), a scalar; they are normalised here.

    log_scale: the logarithm of the inverse temperature, clamped to [0, ln 100]. group: (B,) whole numbers; samples with
    the same number say the same thing (ten names of degradations fill a batch many times over), and each is as right a
    partner as the other. None, as published, takes every other sample of the batch as wrong.
    """
    scale = log_scale.clamp(0, math.log(LARGEST_SCALE)).exp()
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    if group is None:
        right = torch.eye(len(logits), device=logits.device, dtype=logits.dtype)
    else:
        right = (group[:, None] == group[None, :]).to(logits.dtype)
    right = right / right.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def robust_loss(content: Tensor, clean: Tensor) -> Tensor:
    """L1 between the controlled embedding of the degraded image and CLIP's own of the clean one, (B, embed), a scalar.

    Both are normalised. The published text (CVPR 2024 workshops) gives neither weight nor normalisation, and no code.
    """
    return (F.normalize(content, dim=-1) - F.normalize(clean.detach(), dim=-1)).abs().mean()
