"""The transformer layer in the U-Nets of DA-CLIP and wild-IR, told what the image shows by one embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from unveil.networks.blocks import GroupNorm

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
        self.proj_out = nn.Conv2d(dim, dim, 1)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, context)
        return x + self.proj_out(tokens.transpose(1, 2).unflatten(2, (height, width)))
