"""Whether a network's output can be used at all."""

from __future__ import annotations

import torch
from torch import Tensor


def finite(x: Tensor) -> bool:
    """Whether every number of x (any shape, fp16 to fp64) is finite. Looked at through their sum, which takes a tenth of the time.

    NaN and infinities stay in a sum; numbers so large that fp32 cannot hold their sum count as not finite.
    """
    wide = x.dtype if x.dtype == torch.float64 else torch.float32
    return bool(x.sum(dtype=wide).isfinite())
