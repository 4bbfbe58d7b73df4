"""What every network here expects of its input, checked once and said plainly."""

from __future__ import annotations

from torch import Tensor

from unveil.errors import InputError


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
