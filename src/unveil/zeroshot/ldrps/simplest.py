"""The simplest damage that a task can mean, read off the photograph: where F-PAM starts from here (not published)."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.zeroshot.recurrence import quantiles

USUAL = 0.45
"""Mean brightness of a well-lit photograph."""

_GREY = (0.299, 0.587, 0.114)


def simplest(task: str, y: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (3, 3) and an offset (3,) on colours in [0, 1]: degraded = matrix @ clean + offset.

    y: the photograph (1, 3, H, W) in [0, 1]. Low light: one gain, by which a mean of 0.45 would become y's. Haze: black at y's 1st
    percentile and white at its 99th. Colour: the luma in all channels. Otherwise the identity.
    """
    matrix, offset = torch.eye(3), torch.zeros(3)
    if task == "lowlight":
        matrix = matrix * min(1.0, max(float(y.mean()), 1 / 255) / USUAL)
    elif task == "dehaze":
        low, high = (float(quantiles(y.reshape(1, -1).float(), q)) for q in (0.01, 0.99))
        if high - low > 1 / 255:
            matrix, offset = matrix * (high - low), torch.full((3,), low)
    elif task == "colorize":
        matrix = torch.tensor(_GREY).expand(3, 3).clone()
    return matrix.to(y), offset.to(y)


def applied(matrix: Tensor, offset: Tensor, x: Tensor) -> Tensor:
    """matrix @ x + offset for every colour of x (B, 3, H, W)."""
    return torch.einsum("oc,bchw->bohw", matrix, x) + offset.view(1, 3, 1, 1)
