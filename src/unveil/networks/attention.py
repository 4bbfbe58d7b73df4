"""Attention over the pixels of a feature map, in memory linear in their number."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from unveil.networks.blocks import ChannelNorm, at_least_float32


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3 * heads * d, H, W) -> three views (B, heads, d, H * W): queries, keys, values."""
    batch, channels, height, width = qkv.shape
    q, k, v = qkv.reshape(batch, 3, heads, channels // (3 * heads), height * width).unbind(1)
    return q, k, v


class LinearAttention(nn.Module):
    """Attention without the N x N matrix (Shen et al. 2021, "Efficient attention"): (B, dim, H, W) -> the same.

    Queries are normalised over the channels of a head, keys over the pixels. As in the published networks the values
    are divided by H * W although the keys already sum to one, so this layer speaks the softer the larger the image;
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
        batch, height, width = x.shape[0], x.shape[2], x.shape[3]
        # float16 has no room for keys of size 1 / (H W) times values over H W
        q, k, v = split_heads(at_least_float32(self.to_qkv(x)), self.heads)
        summary = k.softmax(dim=-1) @ v.transpose(-1, -2) * (self.scale / (height * width))
        out = summary.transpose(-1, -2) @ q.softmax(dim=-2)
        return self.to_out(out.reshape(batch, -1, height, width).to(x.dtype))


class Attention(nn.Module):
    """Softmax attention among all pixels: (B, dim, H, W) -> the same. Further arguments pass unread."""

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
