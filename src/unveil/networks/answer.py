"""What a predictor says about a state, in the one form that corrections read and samplers run."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class Features(NamedTuple):
    """What a compact predictor knows at the end of its decoder, finest first: (B, c_i, H / 2^(i+1), W / 2^(i+1))."""

    levels: tuple[Tensor, ...]
    embedding: Tensor


class Answer(NamedTuple):
    """A state, what a predictor made of it, and what it knew when it said so.

    x_t, y: (B, 3, H, W), in the network's range. level: (B,) noise level s_t. residual: (B, 3, H, W), y - x0_hat.
    features: for a correction that reads the predictor's own; None where the predictor shows none.
    """

    x_t: Tensor
    y: Tensor
    level: Tensor
    residual: Tensor
    features: Features | None = None


@runtime_checkable
class Predictor(Protocol):
    """A network that is told the noise level of a state and predicts y - x0, and has an answer that a correction can read.

    Others are called as they are, with the state, y and what they are told, and corrected by what reads no features.
    """

    multiple_of: int

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """What it says about states.

        Args:
            x_t: (B, 3, H, W) states, H and W multiples of `multiple_of`.
            y: (B, 3, H, W) damaged images in [-1, 1].
            level: (B,) noise levels s_t in [0, 1].
            condition: (B, SIZE) as `networks.condition` has it; read by networks that are conditioned, by others not.

        """
        ...


THOUSAND = 1000.0
"""Published U-Nets embed a time that counts to a thousand; a noise level is told to them as so many thousandths."""


def finite(x: Tensor) -> bool:
    """Whether every number of x (any shape, fp16 to fp64) is finite. Looked at through their sum, which takes a tenth of the time.

    NaN and infinities stay in a sum; numbers so large that fp32 cannot hold their sum count as not finite.
    """
    wide = x.dtype if x.dtype == torch.float64 else torch.float32
    return bool(x.sum(dtype=wide).isfinite())
