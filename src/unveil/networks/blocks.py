"""Residual blocks, norms and resampling shared by the U-Nets of RDDM, Resfusion and the IR-SDE family.

Attribute names are those of the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it is float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class StandardizedConv2d(nn.Conv2d):
    """Convolution whose filters are brought to zero mean and unit variance (Qiao et al. 2019, weight standardisation).

    Statistics per output filter, biased variance, eps 1e-5, always at least in float32: they depend on the weights
    alone, so a half-precision network stays the same function. (The official code takes eps 1e-3 for half-precision
    inputs, and with that another function.)
    """

    def forward(self, input: Tensor) -> Tensor:
        weight = at_least_float32(self.weight)
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
        weight = (weight - mean) * torch.rsqrt(variance + 1e-5)
        return self._conv_forward(input, weight.to(self.weight.dtype), self.bias)


class GroupNorm(nn.GroupNorm):
    """Group norm that also takes groups of one value (each becomes its offset), as the smallest images make them."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, (B, C, H, W) -> the same: a gain `g`, no offset, eps 1e-5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        full = at_least_float32(x)
        variance, mean = torch.var_mean(full, dim=1, correction=0, keepdim=True)
        return ((full - mean) * torch.rsqrt(variance + 1e-5)).to(x.dtype) * self.g


class ConvBlock(nn.Module):
    """3x3 convolution, group norm in 8 groups, x * (scale + 1) + shift where given, SiLU.

    (B, dim, H, W) -> (B, dim_out, H, W); scale and shift broadcast to the latter.
    normalised=False (IR-SDE) has a plain convolution without bias and no norm.
    """

    def __init__(self, dim: int, dim_out: int, *, normalised: bool) -> None:
        super().__init__()
        conv = StandardizedConv2d if normalised else nn.Conv2d
        self.proj = conv(dim, dim_out, 3, padding=1, bias=normalised)
        self.norm = GroupNorm(8, dim_out) if normalised else nn.Identity()

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        x = self.norm(self.proj(x))
        if scale is not None and shift is not None:
            x = x * (scale + 1) + shift
        return F.silu(x)


class ResnetBlock(nn.Module):
    """Two ConvBlocks with a skip, the first modulated by time.

    x (B, dim, H, W), time (B, time_dim) -> (B, dim_out, H, W).
    """

    def __init__(self, dim: int, dim_out: int, time_dim: int, *, normalised: bool) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, 2 * dim_out))
        self.block1 = ConvBlock(dim, dim_out, normalised=normalised)
        self.block2 = ConvBlock(dim_out, dim_out, normalised=normalised)
        self.res_conv = nn.Conv2d(dim, dim_out, 1, bias=normalised) if dim != dim_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.mlp(time)[:, :, None, None].chunk(2, dim=1)
        return self.block2(self.block1(x, scale, shift)) + self.res_conv(x)


def downsample(dim: int, dim_out: int) -> nn.Conv2d:
    """(B, dim, 2H, 2W) -> (B, dim_out, H, W), a 4x4 convolution of stride 2."""
    return nn.Conv2d(dim, dim_out, 4, stride=2, padding=1)


def upsample(dim: int, dim_out: int) -> nn.Sequential:
    """(B, dim, H, W) -> (B, dim_out, 2H, 2W), nearest neighbour and a 3x3 convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(dim, dim_out, 3, padding=1))
