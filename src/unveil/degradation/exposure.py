"""Another exposure of the same photograph: no damage, but what a training set of well exposed pictures never shows."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.colour import linear_to_srgb, srgb_to_linear
from unveil.degradation.draws import check, log_uniform

FACTOR = (0.3, 1.0)
"""Down to where simulated low light begins: darker still, and nothing tells the one from the other."""


def exposed(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each photograph of x (B, 3, H, W) float32 in [0, 1], sRGB, at 0.3 to 1 times its light (log-uniform).

    Raises InputError for a wrong shape or type.
    """
    check(x)
    factor = log_uniform(len(x), generator, *FACTOR).to(x.device)
    return linear_to_srgb(srgb_to_linear(x) * factor).clamp(0, 1)
