"""The interface of predictors: their protocol, their answer, and the checks and padding of their inputs."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.errors import InputError
from unveil.util.tensors import at_least


class Features(NamedTuple):
    """A compact predictor's features at the end of its decoder, finest first: (B, c_i, H / 2^(i+1), W / 2^(i+1))."""

    levels: tuple[Tensor, ...]
    embedding: Tensor


class Answer(NamedTuple):
    """The input of a predictor, its output, and the features behind the output.

    x_t, y: (B, 3, H, W), in the network's range. level: (B,) noise level s_t. residual: (B, 3, H, W), y - x0_hat.
    features: for a correction that reads them; None where the predictor has none to give.
    """

    x_t: Tensor
    y: Tensor
    level: Tensor
    residual: Tensor
    features: Features | None = None


@runtime_checkable
class Predictor(Protocol):
    """A network that takes the noise level of a state and predicts y - x0, in the form that a correction reads.

    Others are called directly, with the state, y and their time, and are corrected by heads that read no features.
    """

    multiple_of: int

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """The prediction for states x_t at noise levels (B,) in [0, 1] and damaged images y, (B, 3, H, W) in [-1, 1], sides multiples of
        `multiple_of`.

        condition: (B, SIZE) as `networks.condition` has it; read by networks that are conditioned, by others not.
        """
        ...


TIME_SCALE = 1000.0
"""Published U-Nets embed a time from 0 to 1000; a noise level in [0, 1] is multiplied by this for them."""


def finite(x: Tensor) -> bool:
    """Whether every number of x (any shape, fp16 to fp64) is finite. Looked at through their sum, which takes a tenth of the time.

    NaN and infinities stay in a sum; numbers so large that fp32 cannot hold their sum count as not finite.
    """
    wide = x.dtype if x.dtype == torch.float64 else torch.float32
    return bool(x.sum(dtype=wide).isfinite())


def pad_to_multiple(x: Tensor, multiple: int, mode: str = "reflect") -> Tensor:
    """(..., H, W) -> (..., H', W') with the next sizes divisible by `multiple`, extended at the bottom and right.

    mode: "reflect" (repeated where the image is smaller than the padding; any size from 1x1) or "zero". x itself is
    returned where nothing is to do. Crop the result with `[..., :H, :W]`.
    """
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if mode == "zero":
        return F.pad(x, (0, right, 0, down)) if down or right else x
    return at_least(x, height + down, width + right)


def check_inputs(x_t: Tensor, y: Tensor, t: Tensor, channels: int) -> None:
    """Raise InputError unless x_t and y are floating (B, channels, H, W), none of it 0, alike, and t is (B,)."""
    if x_t.dim() != 4 or x_t.shape[1] != channels or 0 in x_t.shape:
        raise InputError(
            f"the state x_t has shape {tuple(x_t.shape)}; "
            f"the network expects (B, {channels}, H, W) with B, H and W at least 1"
        )
    if not x_t.is_floating_point():
        raise InputError(
            f"the state x_t has type {x_t.dtype}; "
            "the network expects a floating-point tensor (convert and scale the image first)"
        )
    if y.shape != x_t.shape:
        raise InputError(
            f"the degraded image y has shape {tuple(y.shape)}; expected that of the state x_t, {tuple(x_t.shape)}"
        )
    if y.dtype != x_t.dtype:
        raise InputError(f"the degraded image y has type {y.dtype}; expected that of the state x_t, {x_t.dtype}")
    if t.shape != x_t.shape[:1]:
        raise InputError(
            f"the time t has shape {tuple(t.shape)}; expected ({x_t.shape[0]},), one time for each image of the batch"
        )


def check_mask(mask: Tensor | None, x_t: Tensor, channels: int) -> None:
    """Raise InputError unless mask is (B, channels, H, W) like x_t (B, _, H, W), or None where channels is 0."""
    if channels == 0:
        if mask is not None:
            raise InputError(
                "this network was built without a mask condition; pass mask=None, or build it with mask_channels > 0"
            )
        return
    expected = (x_t.shape[0], channels, *x_t.shape[-2:])
    if mask is None:
        raise InputError(f"this network was built with a mask condition; pass mask with shape {expected}")
    if mask.shape != expected:
        raise InputError(f"the mask has shape {tuple(mask.shape)}; expected {expected}")


def check_context(context: Tensor | None, name: str, batch: int, dim: int | None) -> None:
    """Raise InputError unless the embedding is (batch, dim), or None where dim is None (no such input)."""
    if dim is None:
        if context is not None:
            raise InputError(f"this network has no input {name}; leave it out")
        return
    if context is None:
        raise InputError(f"this network needs {name}, an embedding of shape {(batch, dim)}")
    if context.shape != (batch, dim):
        raise InputError(
            f"{name} has shape {tuple(context.shape)}; "
            f"expected {(batch, dim)}, one embedding for each image of the batch"
        )
