"""diffusers' AutoencoderKL (Stable Diffusion's VAE) without diffusers: built from its config.json, with its names for all weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import ModelError
from unveil.networks.diffusers_blocks import Attention, Downsample, Level, ResnetBlock, Upsample

_EPS = 1e-6


def _middle(width: int, groups: int, attention: bool) -> Level:
    inside: list[nn.Module] = [Attention(width, width, groups, _EPS)] if attention else []
    return Level([ResnetBlock(width, width, groups=groups, eps=_EPS) for _ in range(2)], inside)


class _Half(nn.Module):
    """Encoder or decoder: levels, a middle, first and last convolutions."""

    conv_in: nn.Conv2d
    conv_out: nn.Conv2d
    conv_norm_out: nn.GroupNorm
    mid_block: Level

    def middle(self, h: Tensor) -> Tensor:
        first, second = self.mid_block.resnets
        h = self.mid_block._run(first, h, None)
        for attention in getattr(self.mid_block, "attentions", ()):
            h = attention(h)
        return self.mid_block._run(second, h, None)

    def last(self, h: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.conv_norm_out(h)))


class Encoder(_Half):
    """Images to the moments of their latents."""

    def __init__(
        self, channels: int, latent: int, widths: list[int], layers: int, groups: int, attention: bool
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            before = widths[max(i - 1, 0)]
            blocks: list[nn.Module] = [
                ResnetBlock(before if j == 0 else width, width, groups=groups, eps=_EPS) for j in range(layers)
            ]
            self.down_blocks.append(Level(blocks, [], down=[Downsample(width, 0)] if i < len(widths) - 1 else None))
        self.mid_block = _middle(widths[-1], groups, attention)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], _EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * latent, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down_blocks:
            h = level(h)
        return self.last(self.middle(h))


class Decoder(_Half):
    """Latents to images."""

    def __init__(
        self, channels: int, latent: int, widths: list[int], layers: int, groups: int, attention: bool
    ) -> None:
        super().__init__()
        upwards = widths[::-1]
        self.conv_in = nn.Conv2d(latent, upwards[0], 3, padding=1)
        self.mid_block = _middle(upwards[0], groups, attention)
        self.up_blocks = nn.ModuleList()
        for i, width in enumerate(upwards):
            below = upwards[max(i - 1, 0)]
            blocks: list[nn.Module] = [
                ResnetBlock(below if j == 0 else width, width, groups=groups, eps=_EPS) for j in range(layers + 1)
            ]
            self.up_blocks.append(Level(blocks, [], up=[Upsample(width)] if i < len(widths) - 1 else None))
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], _EPS)
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.middle(self.conv_in(z))
        for level in self.up_blocks:
            h = level(h)
        return self.last(h)


class AutoencoderKL(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] and latents (B, latent_channels, H / factor, W / factor), unscaled.

    config: of diffusers' AutoencoderKL. Raises ModelError for one with parts unknown here.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        for key, kind in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
            if set(config.get(key, [kind])) != {kind} or config.get("act_fn", "silu") != "silu":
                raise ModelError(f"an autoencoder with {key} {config.get(key)!r} is not built here")
        self.config = dict(config)
        widths = [int(w) for w in config.get("block_out_channels", [64])]
        self.latent_channels = int(config.get("latent_channels", 4))
        self.factor = 2 ** (len(widths) - 1)
        layers, groups = int(config.get("layers_per_block", 1)), int(config.get("norm_num_groups", 32))
        attention = bool(config.get("mid_block_add_attention", True))
        sizes = (self.latent_channels, widths, layers, groups, attention)
        self.encoder = Encoder(int(config.get("in_channels", 3)), *sizes)
        self.decoder = Decoder(int(config.get("out_channels", 3)), *sizes)
        n = self.latent_channels
        self.quant_conv = nn.Conv2d(2 * n, 2 * n, 1) if config.get("use_quant_conv", True) else None
        self.post_quant_conv = nn.Conv2d(n, n, 1) if config.get("use_post_quant_conv", True) else None

    def recompute(self, wanted: bool = True) -> None:
        """Keep only the inputs of the blocks for the backward pass: memory of one block at a time, for one more forward pass."""
        for module in self.modules():
            if isinstance(module, Level):
                module.recompute = wanted

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latents."""
        moments = self.encoder(x)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean, variance = moments.chunk(2, dim=1)
        return mean, variance.clamp(-30, 20)

    def decode(self, z: Tensor) -> Tensor:
        """Images, unclipped."""
        return self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z))
