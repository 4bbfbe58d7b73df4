"""A mask as the published networks want to see it, beside the photograph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CHANNELS = {2: "Resfusion", 3: "RDDM"}
"""How many channels of a network a mask takes -> whose networks do."""
_WHITE = 1 - 0.5 / 255


def encoded(mask: np.ndarray, channels: int) -> Tensor:
    """The mask of a photograph for a network.

    Args:
        mask: (H, W) or (H, W, 3) in [0, 1], white where the damage is.
        channels: 2: outside and inside, each -1 or 1, and only what is wholly white is inside (Resfusion's data module); 3: the mask as an
            image in [0, 1] (RDDM, which does not bring it to the range of its photographs).

    Returns:
        (1, channels, H, W) float32.

    """
    plane = mask if mask.ndim == 2 else mask.max(axis=2)
    if channels == 3:
        return torch.from_numpy(np.repeat(plane[None, None].astype(np.float32), 3, axis=1))
    inside = plane >= _WHITE
    return torch.from_numpy(np.where(np.stack([~inside, inside]), 1, -1).astype(np.float32))[None]
