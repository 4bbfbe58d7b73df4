"""DA-CLIP (Luo et al., ICLR 2024): a controller beside a frozen CLIP image tower, parameter for parameter.

The controller is a copy of the tower. Its embedding names the degradation; what leaves its blocks is added, through
layers that start at zero, inside the frozen tower, whose embedding then describes the content in spite of the damage.

As published, the frozen tower's block i is given the hidden state of controller block L-1-i: the code pops them off the
end of a list. Weights are trained with it, so it is kept.

Not kept is how the published code starts the controller: it copies parameters in the order of two lists of unequal
length, and after the transformer they no longer pair. `zero_modules.0` gets CLIP's `ln_post` in the rows of its weight
and in its bias, so that the untrained controller already adds something to the last block, and the controller's own
`ln_post` stays at 1 and 0. Here all zero layers are zero and everything else is copied: an untrained DA-CLIP is CLIP.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import InputError
from unveil.networks.blocks import zeroed
from unveil.networks.clip import CLIP, Transformer, VisionTower, prepared


class ImageEmbeddings(NamedTuple):
    """content, degradation: embeddings (B, embed) of an image, not normalised."""

    content: Tensor
    degradation: Tensor


class ControlTransformer(nn.Module):
    """A transformer that also returns the outputs of its blocks: (B, N, width) -> the same, and L hidden states like it."""

    def __init__(self, transformer: Transformer, width: int) -> None:
        super().__init__()
        self.transformer = transformer
        self.zero_modules = nn.ModuleList([zeroed(nn.Linear(width, width)) for _ in transformer.resblocks])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden: list[Tensor] = []
        for block, zero in zip(self.transformer.resblocks, self.zero_modules, strict=True):
            x = block(x)
            hidden.append(zero(x))
        return x, hidden


class DACLIP(nn.Module):
    """CLIP with a controller. State dicts of the published code load with strict=True once `visual.*` is left out.

    clip: the frozen part, with weights or about to get them. (`visual.*` repeats `clip.visual.*`.) Trainable are
    `visual_control` and `logit_scale`.
    """

    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.clip = clip.requires_grad_(False)
        control = copy.deepcopy(clip.visual).requires_grad_(True)
        control.transformer = ControlTransformer(control.transformer, control.conv1.out_channels)  # type: ignore[assignment]
        self.visual_control: VisionTower = control
        self.logit_scale = nn.Parameter(clip.logit_scale.detach().clone())

    def control(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images (B, 3, size, size) -> the degradation's embedding (B, embed), hidden states in the order of the blocks."""
        x, hidden = self.visual_control.transformer(self.visual_control.tokens(images))
        return self.visual_control.pooled(x), hidden

    def encode_image(self, images: Tensor) -> ImageEmbeddings:
        """Of images (B, 3, size, size), as `clip.prepared` makes them. CLIP's own embedding is that of `clip.visual`."""
        degradation, hidden = self.control(images)
        return ImageEmbeddings(self.clip.visual(images, hidden[::-1]), degradation)

    def contexts(self, y: Tensor, value_range: tuple[float, float], degradation: bool) -> tuple[Tensor, ...]:
        """What a network is conditioned on, (B, embed) each: of images (B, 3, H, W) the content and, with `degradation`, that too."""
        low, high = value_range
        seen = self.encode_image(prepared((y.float() - low) / (high - low), self.clip.visual.size))
        return tuple(seen) if degradation else (seen.content,)

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Caption and degradation side by side, token numbers (B, 2 context) -> their embeddings, (B, embed) each."""
        if tokens.ndim != 2 or tokens.shape[1] != 2 * self.clip.context:
            raise InputError(
                f"texts must be (B, {2 * self.clip.context}): a caption and a degradation, got {tuple(tokens.shape)}"
            )
        caption, degradation = tokens.chunk(2, dim=1)
        return self.clip.encode_text(caption), self.clip.encode_text(degradation)

    def train(self, mode: bool = True) -> DACLIP:
        """Training mode for the controller; the frozen part stays as it is evaluated."""
        super().train(mode)
        self.clip.eval()
        return self


def degradation_probabilities(degradation: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """How likely each of the named degradations is: (B, embed), (n, embed), scalar exp(logit_scale) -> (B, n)."""
    image, text = (nn.functional.normalize(v, dim=-1) for v in (degradation, texts))
    return torch.softmax(scale * image @ text.T, dim=-1)


LARGEST_SCALE = 100.0


def contrastive(image: Tensor, text: Tensor, log_scale: Tensor, group: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE (CLIP) of embeddings (B, embed), a scalar; they are normalised here.

    log_scale: the logarithm of the inverse temperature, clamped to [0, ln 100]. group: (B,) whole numbers; samples with the same number
    have the same text (ten names of degradations occur many times in a batch) and count as partners of each other. None, as published,
    takes every other sample of the batch as a negative.
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
