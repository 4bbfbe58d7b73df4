"""What the published U-Nets are made of: convolution blocks, time embeddings, attention, transformers, and the skeleton they share.

RDDM, Resfusion, IR-SDE, DA-CLIP and wild-IR descend from one U-Net of the DDPM literature; a recipe says where they differ. Attribute
names are those of the published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import ModelError


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it is float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with all weights at zero, so that at first nothing depends on it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class StandardizedConv2d(nn.Conv2d):
    """Convolution whose filters are brought to zero mean and unit variance (Qiao et al. 2019, weight standardisation).

    Statistics per output filter, biased variance, eps 1e-5, always at least in float32: they depend on the weights
    alone, so a half-precision network stays the same function. (The official code takes eps 1e-3 for half-precision
    inputs, and with that another function.) Without gradients the standardised filters are kept for the next call.
    """

    _kept: tuple[Tensor, int, Tensor] | None = None
    """The weights, their version, and their filters. Kept themselves, so that no others can come to lie where they lie."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self._filters(input.device.type), self.bias)

    def _filters(self, device_type: str) -> Tensor:
        # Kept in the type that autocast would bring them to, since it keeps only what gradients go to.
        weight = self.weight
        if torch.is_grad_enabled() or weight.is_inference() or torch.compiler.is_compiling():
            return self._standardised()
        autocast = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
        dtype = torch.get_autocast_dtype(device_type) if autocast else weight.dtype
        if self._kept is not None:
            source, version, filters = self._kept
            if (source.data_ptr(), version, filters.dtype) == (weight.data_ptr(), weight._version, dtype):
                return filters
        filters = self._standardised().to(dtype)
        self._kept = (weight.detach(), weight._version, filters)
        return filters

    def _standardised(self) -> Tensor:
        weight = at_least_float32(self.weight)
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
        return ((weight - mean) * torch.rsqrt(variance + 1e-5)).to(self.weight.dtype)


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution as a matrix product over pixels, which with channels last reads and writes them as they lie."""

    def __init__(self, dim: int, dim_out: int, *, bias: bool = True) -> None:
        super().__init__(dim, dim_out, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


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
        # With channels last, as models are evaluated, the permutations are views.
        pixels = at_least_float32(x).permute(0, 2, 3, 1)
        normed = F.layer_norm(pixels, pixels.shape[-1:], eps=1e-5)
        return normed.permute(0, 3, 1, 2).to(x.dtype) * self.g


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
        x = self.proj(x)
        x = self.norm(x) if scale is None or shift is None else self._modulated(x, scale + 1, shift)
        return F.silu(x, inplace=not torch.is_grad_enabled())

    def _modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        norm = self.norm
        # One affine map in place of two.
        if isinstance(norm, GroupNorm) and len(x) == scale.numel() // scale.shape[1] == 1:
            scale, shift = scale.flatten(), shift.flatten()
            weight, bias = norm.weight * scale, norm.bias * scale + shift
            return torch.group_norm(x, norm.num_groups, weight, bias, norm.eps)
        return norm(x) * scale + shift


class ResnetBlock(nn.Module):
    """Two ConvBlocks with a skip, the first modulated by time.

    x (B, dim, H, W), time (B, time_dim) -> (B, dim_out, H, W).
    """

    def __init__(self, dim: int, dim_out: int, time_dim: int, *, normalised: bool) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, 2 * dim_out))
        self.block1 = ConvBlock(dim, dim_out, normalised=normalised)
        self.block2 = ConvBlock(dim_out, dim_out, normalised=normalised)
        self.res_conv = PointwiseConv2d(dim, dim_out, bias=normalised) if dim != dim_out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.mlp(time)[:, :, None, None].chunk(2, dim=1)
        return self.block2(self.block1(x, scale, shift)) + self.res_conv(x)


def downsample(dim: int, dim_out: int) -> nn.Conv2d:
    """(B, dim, 2H, 2W) -> (B, dim_out, H, W), a 4x4 convolution of stride 2."""
    return nn.Conv2d(dim, dim_out, 4, stride=2, padding=1)


def upsample(dim: int, dim_out: int) -> nn.Sequential:
    """(B, dim, H, W) -> (B, dim_out, 2H, 2W), nearest neighbour and a 3x3 convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(dim, dim_out, 3, padding=1))


def sinusoidal(t: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding of times, (B,) -> (B, dim): sines first, then cosines.

    Frequencies fall geometrically from 1 to 1e-4 (both ends included, dim / 2 of them) as in the code of DDPM (Ho et
    al. 2020), so t is meant in steps (0 to about 1000), not in [0, 1]. Computed in float32 (float64 if t is), whatever
    the network's type.

    Raises ModelError if dim is odd or under 4.
    """
    if dim < 4 or dim % 2:
        raise ModelError(f"the time embedding needs an even number of channels, at least 4; got {dim}")
    t = t if t.dtype == torch.float64 else t.float()
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=t.device, dtype=t.dtype) * (-math.log(1e4) / (half - 1)))
    angle = t[:, None] * frequency[None, :]
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class SimpleGate(nn.Module):
    """Product of the two halves of the channels, (B, 2C, ...) -> (B, C, ...) (NAFNet, Chen et al. 2022)."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class TimeMLP(nn.Sequential):
    """t (B,) -> embedding (B, hidden): sinusoid of `dim` channels, linear, GELU (SimpleGate where `gated`), linear.

    An identity stands where published code keeps the sinusoid, so that the linear layers are entries 1 and 3, as their
    weights are named.
    """

    def __init__(self, dim: int, hidden: int, *, gated: bool = False) -> None:
        sinusoidal(torch.zeros(1), dim)  # an impossible dim is refused here, not at the first image
        first = nn.Linear(dim, 2 * hidden if gated else hidden)
        super().__init__(nn.Identity(), first, SimpleGate() if gated else nn.GELU(), nn.Linear(hidden, hidden))
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(sinusoidal(input, self.dim).to(next(self.parameters()).dtype))


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3 * heads * d, H, W) -> three views (B, heads, d, H * W): queries, keys, values."""
    batch, channels, height, width = qkv.shape
    q, k, v = qkv.reshape(batch, 3, heads, channels // (3 * heads), height * width).unbind(1)
    return q, k, v


class LinearAttention(nn.Module):
    """Attention without the N x N matrix (Shen et al. 2021, "Efficient attention"): (B, dim, H, W) -> the same.

    Queries are normalised over the channels of a head, keys over the pixels. As in the published networks the values
    are divided by H * W although the keys already sum to one, so the output of this layer is smaller for larger images;
    kept, because weights are trained with it. Further arguments (the embedding that transformer layers receive) are not
    for this layer and pass unread.
    """

    def __init__(self, dim: int, heads: int = 4, dim_head: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.scale = dim_head**-0.5
        hidden = heads * dim_head
        self.to_qkv = nn.Conv2d(dim, 3 * hidden, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(hidden, dim, 1), ChannelNorm(dim))

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)  # a view with channels last
        # float16 has no room for keys of size 1 / (H W) times values over H W
        q, k, v = (
            at_least_float32(F.linear(pixels, weight)).unflatten(-1, (self.heads, -1))
            for weight in self.to_qkv.weight.flatten(1).chunk(3)
        )
        summary = k.softmax(dim=1).permute(0, 2, 3, 1) @ v.transpose(1, 2)
        # What is read out by a head's queries is projected right away: one product over all pixels in place of two.
        project = self.to_out[0]
        assert isinstance(project, nn.Conv2d)
        out_weight = at_least_float32(project.weight.flatten(1)).unflatten(1, (self.heads, -1))
        reading = torch.einsum("bhde,che->bhdc", summary, out_weight).flatten(1, 2)
        out = q.softmax(dim=-1).flatten(2) @ reading * (self.scale / (height * width)) + project.bias
        return self.to_out[1](out.to(x.dtype).permute(0, 2, 1).unflatten(2, (height, width)))


class Attention(nn.Module):
    """Softmax attention among all pixels: (B, dim, H, W) -> the same. Further arguments are ignored."""

    def __init__(self, dim: int, heads: int = 4, dim_head: int = 32) -> None:
        super().__init__()
        self.heads = heads
        hidden = heads * dim_head
        self.to_qkv = nn.Conv2d(dim, 3 * hidden, 1, bias=False)
        self.to_out = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        batch, height, width = x.shape[0], x.shape[2], x.shape[3]
        # contiguous: with a strided last axis torch silently falls back to the kernel that holds the N x N matrix
        q, k, v = (part.transpose(-1, -2).contiguous() for part in split_heads(self.to_qkv(x), self.heads))
        out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(out.transpose(-1, -2).reshape(batch, -1, height, width))


class PreNorm(nn.Module):
    """fn(norm(x), ...)."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = ChannelNorm(dim)
        self.fn = fn

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.fn(self.norm(x), *context)


class Residual(nn.Module):
    """x + fn(norm(x), ...): how every attention layer sits in the U-Nets."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.fn = PreNorm(dim, fn)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return x + self.fn(x, *context)


HEAD = 32


class SelfAttention(nn.Module):
    """Softmax attention among tokens, (B, N, dim) -> the same, in heads of 32 channels and memory linear in N."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (to(x).unflatten(-1, (-1, HEAD)).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class OneKeyAttention(nn.Module):
    """Cross-attention to a single key: (B, context_dim) -> (B, 1, dim), the same for every token.

    With one key the softmax is 1 whatever the query, so the layer is its value and its output projection alone. `to_q`
    and `to_k` are kept, unused and without gradient, so that published state dicts load.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, dim, bias=False).requires_grad_(False)
        self.to_k = nn.Linear(context_dim, dim, bias=False).requires_grad_(False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, context: Tensor) -> Tensor:
        return self.to_out(self.to_v(context))[:, None, :]


class GEGLU(nn.Module):
    """(..., dim) -> (..., dim_out): one half of a projection times the GELU of the other (Shazeer 2020)."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * dim_out)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU to four times the width and back; entry 1 is where published code has its (zero) dropout."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention, the embedding, feed-forward, each added to its input.

    x (B, N, dim), context (B, context_dim) -> (B, N, dim). `norm2` stood before the queries of the one-key attention
    and is unused with them.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = SelfAttention(dim)
        self.norm2 = nn.LayerNorm(dim).requires_grad_(False)
        self.attn2 = OneKeyAttention(dim, context_dim)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer block over the pixels of a feature map, with its own skip.

    x (B, dim, H, W), context (B, context_dim) -> (B, dim, H, W). As in latent diffusion (Rombach et al. 2022): group
    norm, 1x1 convolution, block, 1x1 convolution that starts at zero. dim a multiple of 32.
    """

    def __init__(self, dim: int, context_dim: int) -> None:
        super().__init__()
        self.norm = GroupNorm(32, dim, eps=1e-6)
        self.proj_in = nn.Conv2d(dim, dim, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(dim, context_dim)])
        self.proj_out = zeroed(nn.Conv2d(dim, dim, 1))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, (height, width)))


@dataclass(frozen=True)
class Recipe:
    """Where the published U-Nets differ.

    normalised: group norm, weight standardisation and biases (RDDM), or none of them (IR-SDE).
    final_kernel: size of the last convolution.
    """

    normalised: bool
    final_kernel: int

    def attention(self, above: int, dim: int) -> nn.Module:
        """The attention layer for `dim` channels, `above` levels over the bottom (0: at the bottom itself)."""
        raise NotImplementedError


class Trunk(nn.Module):
    """First convolution, time, encoder and bottom.

    widths: channels (w_0, ..., w_n) after the first convolution and after each of the n levels; the image is halved
    n - 1 times. The time embedding has 4 * w_0 channels.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], recipe: Recipe) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.recipe = recipe
        self.time_dim = 4 * widths[0]
        self.init_conv = nn.Conv2d(in_channels, widths[0], 7, padding=3, bias=recipe.normalised)
        self.time_mlp = TimeMLP(widths[0], self.time_dim)
        self.downs = nn.ModuleList()
        levels = len(widths) - 1
        for level, (dim, dim_out) in enumerate(pairwise(widths)):
            self.downs.append(
                nn.ModuleList(
                    [
                        self.block(dim, dim),
                        self.block(dim, dim),
                        Residual(dim, recipe.attention(levels - level, dim)),
                        downsample(dim, dim_out) if level < levels - 1 else self.conv3x3(dim, dim_out),
                    ]
                )
            )
        self.mid_block1 = self.block(widths[-1], widths[-1])
        self.mid_attn = Residual(widths[-1], recipe.attention(0, widths[-1]))
        self.mid_block2 = self.block(widths[-1], widths[-1])

    def block(self, dim: int, dim_out: int) -> ResnetBlock:
        return ResnetBlock(dim, dim_out, self.time_dim, normalised=self.recipe.normalised)

    def conv3x3(self, dim: int, dim_out: int) -> nn.Conv2d:
        return nn.Conv2d(dim, dim_out, 3, padding=1, bias=self.recipe.normalised)

    def decoder(self, *, skips: bool = True) -> nn.ModuleList:
        """The way up, deepest level first, for `ascend`; without skips the blocks take the features alone."""
        ups = nn.ModuleList()
        for level in range(len(self.widths) - 2, -1, -1):
            dim, dim_out = self.widths[level + 1], self.widths[level]
            dim_in = dim + dim_out if skips else dim
            ups.append(
                nn.ModuleList(
                    [
                        self.block(dim_in, dim),
                        self.block(dim_in, dim),
                        Residual(dim, self.recipe.attention(len(self.widths) - 1 - level, dim)),
                        upsample(dim, dim_out) if level > 0 else self.conv3x3(dim, dim_out),
                    ]
                )
            )
        return ups

    def descend(self, x: Tensor, time: Tensor, *context: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features (B, w_0, H, W), time (B, time_dim) -> features at the bottom (B, w_n, H', W') and the skips.

        Skips: two a level, shallowest first. context: further inputs of the attention layers.
        """
        skips: list[Tensor] = []
        for block1, block2, attention, shrink in self.downs:  # pyright: ignore[reportGeneralTypeIssues]
            x = block1(x, time)
            skips.append(x)
            x = attention(block2(x, time), *context)
            skips.append(x)
            x = shrink(x)
        x = self.mid_block1(x, time)
        x = self.mid_attn(x, *context)
        return self.mid_block2(x, time), skips


def ascend(ups: nn.ModuleList, x: Tensor, skips: Sequence[Tensor], time: Tensor, *context: Tensor) -> Tensor:
    """Features at the bottom -> features (B, w_0, H, W) through a decoder of `Trunk.decoder`.

    skips: as `descend` gave them, or none for a decoder without.
    """
    waiting = list(skips)

    def joined(x: Tensor) -> Tensor:
        return torch.cat((x, waiting.pop()), dim=1) if waiting else x

    for block1, block2, attention, grow in ups:  # pyright: ignore[reportGeneralTypeIssues]
        x = block1(joined(x), time)
        x = block2(joined(x), time)
        x = grow(attention(x, *context))
    return x


class Skeleton(Trunk):
    """The whole U-Net: trunk, decoder with skips, a last block that takes the first features again, last convolution."""

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], recipe: Recipe) -> None:
        super().__init__(in_channels, widths, recipe)
        self.ups = self.decoder()
        self.final_res_block = self.block(2 * widths[0], widths[0])
        self.final_conv = nn.Conv2d(widths[0], out_channels, recipe.final_kernel, padding=recipe.final_kernel // 2)
