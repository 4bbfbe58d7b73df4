"""ConditionalNAFNet, the network of Refusion (Luo et al., CVPRW 2023), parameter for parameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unveil.errors import ModelError
from unveil.networks.blocks import ChannelNorm, SimpleGate, TimeMLP
from unveil.networks.predictor import check_inputs, pad_to_multiple


class NAFBlock(nn.Module):
    """NAFNet's block (Chen et al., ECCV 2022), both halves modulated by time.

    x (B, C, H, W), time (B, time_dim) -> (B, C, H, W). beta and gamma start at zero: a new block is the identity.
    """

    def __init__(self, channels: int, time_dim: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.mlp = nn.Sequential(SimpleGate(), nn.Linear(time_dim // 2, 4 * channels))
        self.norm1 = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.norm2 = ChannelNorm(channels)
        self.conv4 = nn.Conv2d(channels, wide, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.sg = SimpleGate()
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2 = self.mlp(time)[:, :, None, None].chunk(4, dim=1)
        h = self.norm1(x) * (scale1 + 1) + shift1
        h = self.sg(self.conv2(self.conv1(h)))
        x = x + self.conv3(h * self.sca(h)) * self.beta
        h = self.norm2(x) * (scale2 + 1) + shift2
        return x + self.conv5(self.sg(self.conv4(h))) * self.gamma


def stage(count: int, channels: int, time_dim: int) -> nn.ModuleList:
    """count blocks of one width."""
    return nn.ModuleList([NAFBlock(channels, time_dim) for _ in range(count)])


def run(blocks: nn.ModuleList | nn.Module, x: Tensor, time: Tensor) -> Tensor:
    """x through the blocks of a stage."""
    for block in blocks:  # pyright: ignore[reportGeneralTypeIssues]
        x = block(x, time)
    return x


class ConditionalNAFNet(nn.Module):
    """Refusion's U-shaped NAFNet: 76,608,387 parameters as published (the defaults).

    State dicts of the official code load with strict=True.

    width: channels at full size, doubled at each level; encoder, middle, decoder: number of blocks at each level,
    decoder deepest first.

    Data for those who run it: channels, out_channels; multiple_of: sizes divisible by it need no padding inside.
    """

    def __init__(
        self,
        width: int = 64,
        encoder: Sequence[int] = (1, 1, 1, 28),
        middle: int = 1,
        decoder: Sequence[int] = (1, 1, 1, 1),
        channels: int = 3,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        if len(encoder) != len(decoder) or not encoder:
            raise ModelError(
                "encoder and decoder need as many levels as each other, at least one; "
                f"got {tuple(encoder)} and {tuple(decoder)}"
            )
        self.channels = channels
        self.out_channels = channels if out_channels is None else out_channels
        self.multiple_of = 2 ** len(encoder)
        time_dim = 4 * width
        self.time_mlp = TimeMLP(width, time_dim, gated=True)
        self.intro = nn.Conv2d(2 * channels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, self.out_channels, 3, padding=1)
        self.encoders = nn.ModuleList()
        self.downs = nn.ModuleList()
        for count in encoder:
            self.encoders.append(stage(count, width, time_dim))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, stride=2))
            width *= 2
        self.middle_blks = stage(middle, width, time_dim)
        self.ups = nn.ModuleList()
        self.decoders = nn.ModuleList()
        for count in decoder:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(stage(count, width, time_dim))

    def forward(self, x_t: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x_t, y (B, channels, H, W), t (B,) -> (B, out_channels, H, W); as published it predicts the noise.

        x_t, y: images in [0, 1], x_t with its noise. t: 1 ... T.
        Any size from 1x1, padded with zeros inside as published. Raises InputError on other shapes and on integer
        images.
        """
        check_inputs(x_t, y, t, self.channels)
        height, width = x_t.shape[-2:]
        time = self.time_mlp(t)
        x = self.intro(pad_to_multiple(torch.cat((x_t - y, y), dim=1), self.multiple_of, mode="zero"))
        skips: list[Tensor] = []
        for blocks, shrink in zip(self.encoders, self.downs, strict=True):
            skips.append(run(blocks, x, time))
            x = shrink(skips[-1])
        x = run(self.middle_blks, x, time)
        for blocks, grow in zip(self.decoders, self.ups, strict=True):
            x = run(blocks, grow(x) + skips.pop(), time)
        return self.ending(x)[..., :height, :width]
