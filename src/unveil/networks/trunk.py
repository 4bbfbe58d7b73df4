"""The skeleton that the U-Nets of RDDM, Resfusion, IR-SDE, DA-CLIP and wild-IR have in common.

All descend from one U-Net of the DDPM literature; the recipe says where they differ. Attribute names are those of the
published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from unveil.networks.attention import Residual
from unveil.networks.blocks import ResnetBlock, downsample, upsample
from unveil.networks.embedding import TimeMLP


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

        Skips: two a level, shallowest first. context: what the attention layers are told besides.
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
    """The whole U-Net: trunk, decoder with skips, a last block that sees the first features again, last convolution."""

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int], recipe: Recipe) -> None:
        super().__init__(in_channels, widths, recipe)
        self.ups = self.decoder()
        self.final_res_block = self.block(2 * widths[0], widths[0])
        self.final_conv = nn.Conv2d(widths[0], out_channels, recipe.final_kernel, padding=recipe.final_kernel // 2)
