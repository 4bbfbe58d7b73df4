"""CLIP's two towers (Radford et al., ICML 2021), small, with the parameter names of open_clip's state dicts.

Built from nothing but torch, so that DA-CLIP runs without open_clip, torchvision or a download. Tokens come from outside.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import InputError, ModelError

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Per-channel statistics of CLIP's training images, which its inputs are normalised by."""


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of OpenAI's own weights; those of LAION have the exact GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class SelfAttention(nn.Module):
    """Multi-head self-attention (B, N, dim) -> the same, with the names of torch's own layer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * dim, dim) * dim**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        b, n, _ = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).reshape(b, n, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(out.transpose(1, 2).reshape(b, n, -1))


class Block(nn.Module):
    """Attention and an MLP of four times the width, each after a norm and added to its input: (B, N, dim)."""

    def __init__(self, dim: int, heads: int, quick: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, heads)
        self.ln_2 = nn.LayerNorm(dim)
        layers = (
            ("c_fc", nn.Linear(dim, 4 * dim)),
            ("gelu", QuickGELU() if quick else nn.GELU()),
            ("c_proj", nn.Linear(4 * dim, dim)),
        )
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        x = x + self.attn(self.ln_1(x), causal)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """`layers` blocks. additions: one tensor (B, N, dim) for each block, added to what leaves it; or none."""

    def __init__(self, dim: int, layers: int, heads: int, quick: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ModelError(f"a transformer of width {dim} cannot have {heads} heads")
        self.resblocks = nn.ModuleList([Block(dim, heads, quick) for _ in range(layers)])

    def forward(self, x: Tensor, additions: Sequence[Tensor] | None = None, causal: bool = False) -> Tensor:
        for i, block in enumerate(self.resblocks):
            x = block(x, causal)
            x = x if additions is None else x + additions[i]
        return x


class VisionTower(nn.Module):
    """Images (B, 3, size, size) -> embeddings (B, embed): CLIP's ViT.

    size: side in pixels, a multiple of `patch`; width, layers, heads: of the transformer; embed: length of the embedding.
    quick: OpenAI's activation.
    """

    def __init__(
        self, embed: int, size: int, patch: int, width: int, layers: int, heads: int, quick: bool = False
    ) -> None:
        super().__init__()
        if size % patch:
            raise ModelError(f"an image of {size} pixels does not divide into patches of {patch}")
        self.size = size
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn((size // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, heads, quick)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(width**-0.5 * torch.randn(width, embed))

    def tokens(self, images: Tensor) -> Tensor:
        """Images, normalised as `normalised` does, -> (B, 1 + patches, width). Raises InputError for another size."""
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, self.size, self.size):
            raise InputError(
                f"the tower takes images (B, 3, {self.size}, {self.size}), got {tuple(images.shape)}; see `clip.prepared`"
            )
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        return self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)

    def pooled(self, tokens: Tensor) -> Tensor:
        """What the class token (B, N, width) became, as an embedding (B, embed)."""
        return self.ln_post(tokens[:, 0]) @ self.proj

    def forward(self, images: Tensor, additions: Sequence[Tensor] | None = None) -> Tensor:
        return self.pooled(self.transformer(self.tokens(images), additions))


class CLIP(nn.Module):
    """Both towers. visual: the image tower; context: length of a text in tokens; vocabulary: number of tokens."""

    def __init__(
        self,
        visual: VisionTower,
        context: int,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        quick: bool = False,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.context = context
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(context, width))
        self.transformer = Transformer(width, layers, heads, quick)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(width**-0.5 * torch.randn(width, visual.proj.shape[1]))
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token numbers (B, context) -> embeddings (B, embed), read off at the end token, which has the highest number."""
        if tokens.ndim != 2 or tokens.shape[1] != self.context:
            raise InputError(f"texts must be (B, {self.context}) token numbers, got {tuple(tokens.shape)}")
        x = self.transformer(self.token_embedding(tokens) + self.positional_embedding, causal=True)
        at_end = self.ln_final(x)[torch.arange(len(x), device=x.device), tokens.argmax(dim=1)]
        return at_end @ self.text_projection


def prepared(images: Tensor, size: int = 224) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] as the image tower takes them: (B, 3, size, size), normalised.

    The shorter side is brought to `size` (bicubic, antialiased), the middle cut out.
    """
    h, w = images.shape[-2:]
    scale = size / min(h, w)
    target = (max(size, round(h * scale)), max(size, round(w * scale)))
    if (h, w) != target:
        images = F.interpolate(images, size=target, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    return normalised(images[..., top : top + size, left : left + size])


def normalised(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] brought to CLIP's mean 0 and deviation 1."""
    mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std
