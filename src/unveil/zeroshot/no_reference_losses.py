"""What a photograph should look like, as differentiable losses that need no reference (Zero-DCE; GDP, TAO, LD-RPS).

All take images (B, 3, H, W) in [0, 1] and are defined, with finite gradients, on every image: grey ones too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def exposure(x: Tensor, patch: int, target: float = 0.5) -> Tensor:
    """Mean squared distance of the mean brightness of patches from `target`; a scalar.

    patch: side in pixels, at most the image's; patches do not overlap, and what is left over at the bottom and right is
    not looked at. LD-RPS: 32 or 64 pixels at 512 x 512, target 0.5. GDP: 8 pixels, target 0.3.
    """
    side = min(patch, x.shape[-2], x.shape[-1])
    return ((F.avg_pool2d(x.mean(1, keepdim=True), side) - target) ** 2).mean()


def colour_cast(x: Tensor) -> Tensor:
    """Distance from a grey world: sqrt(Drg^2 + Drb^2 + Dgb^2), D the squared difference of two channels' means; (B,).

    The root's slope is infinite at 0 although the whole is smooth there, its gradient being 0: on a grey image the
    textbook form gives 0/0. Here the root is not taken where there is nothing under it.
    """
    red, green, blue = x.mean((-2, -1)).unbind(1)
    under = (red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4
    grey = under == 0
    return torch.where(grey, 0.0, torch.where(grey, 1.0, under).sqrt())


def total_variation(x: Tensor) -> Tensor:
    """Twice the mean squared step between neighbours, down plus across; a scalar (Zero-DCE's form, in GDP and TAO)."""
    down, across = x.diff(dim=-2), x.diff(dim=-1)
    return 2 * ((down**2).mean() + (across**2).mean())
