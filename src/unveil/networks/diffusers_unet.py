"""diffusers' UNet2DModel (DDPM, ADM) without diffusers: built from its config.json, with its names for all weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import ModelError
from unveil.networks.diffusers_blocks import Attention, Downsample, Level, ResnetBlock, Upsample

_DOWN = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
_UP = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3, "out_channels": 3, "layers_per_block": 2, "norm_num_groups": 32, "norm_eps": 1e-5,
    "attention_head_dim": 8, "attn_norm_num_groups": None, "resnet_time_scale_shift": "default", "add_attention": True,
    "downsample_type": "conv", "upsample_type": "conv", "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0,
}  # fmt: skip
_ONLY: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"), "time_embedding_type": ("positional",), "class_embed_type": (None,), "center_input_sample": (False,),
    "num_class_embeds": (None,), "mid_block_scale_factor": (1, 1.0), "dropout": (0, 0.0), "mid_block_type": ("UNetMidBlock2D",),
    "time_embedding_dim": (None,),
}  # fmt: skip
"""Entries that may have one meaning here; anything else is a network for diffusers itself."""


class DiffusersUNet(nn.Module):
    """(x_t, t) -> what it was trained to predict. config: of diffusers' UNet2DModel. Raises ModelError for one with parts unknown here.

    multiple_of: image sides must be multiples of this.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        _known(config)
        c = {**_DEFAULTS, **config}
        widths = [int(w) for w in c["block_out_channels"]]
        last = len(widths) - 1
        self.config = dict(config)
        self.in_channels, self.out_channels = int(c["in_channels"]), int(c["out_channels"])
        self.multiple_of = 2**last
        self.flip, self.shift = bool(c["flip_sin_to_cos"]), float(c["freq_shift"])
        self.width = widths[0]
        time, groups, eps = 4 * widths[0], int(c["norm_num_groups"]), float(c["norm_eps"])
        scale_shift = c["resnet_time_scale_shift"] == "scale_shift"
        common = {"time": time, "groups": groups, "eps": eps, "scale_shift": scale_shift}

        def attention(kind: str, width: int, number: int) -> list[nn.Module]:
            wanted = number if "Attn" in kind else 0
            return [Attention(width, c["attention_head_dim"] or width, groups, eps) for _ in range(wanted)]

        def changing(kind: str, option: str, width: int, how: str) -> nn.Module:
            if kind.startswith("Resnet") or ("Attn" in kind and c[option] == "resnet"):
                return ResnetBlock(width, width, change=how, **common)
            return Downsample(width, int(c["downsample_padding"])) if how == "down" else Upsample(width)

        self.conv_in = nn.Conv2d(self.in_channels, widths[0], 3, padding=1)
        self.time_embedding = nn.ModuleDict({"linear_1": nn.Linear(widths[0], time), "linear_2": nn.Linear(time, time)})
        layers = int(c["layers_per_block"])
        self.down_blocks = nn.ModuleList()
        for i, (kind, width) in enumerate(zip(c["down_block_types"], widths, strict=True)):
            before = widths[max(i - 1, 0)]
            blocks: list[nn.Module] = [ResnetBlock(before if j == 0 else width, width, **common) for j in range(layers)]
            down = [changing(kind, "downsample_type", width, "down")] if i < last else None
            self.down_blocks.append(Level(blocks, attention(kind, width, layers), down=down))
        deep = widths[-1]
        # With scale and shift diffusers gives the middle's attention groups of its own.
        middle = int(c["attn_norm_num_groups"] or groups)
        inside: list[nn.Module] = (
            [Attention(deep, c["attention_head_dim"] or deep, middle, eps)] if c["add_attention"] else []
        )
        self.mid_block = Level([ResnetBlock(deep, deep, **common) for _ in range(2)], inside)
        self.up_blocks = nn.ModuleList()
        upwards = widths[::-1]
        for i, (kind, width) in enumerate(zip(c["up_block_types"], upwards, strict=True)):
            below, skip = upwards[max(i - 1, 0)], upwards[min(i + 1, last)]
            blocks = [
                ResnetBlock((below if j == 0 else width) + (skip if j == layers else width), width, **common)
                for j in range(layers + 1)
            ]
            up = [changing(kind, "upsample_type", width, "up")] if i < last else None
            self.up_blocks.append(Level(blocks, attention(kind, width, layers + 1), up=up))
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps)
        self.conv_out = nn.Conv2d(widths[0], self.out_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (B, in_channels, H, W), sides multiples of `multiple_of`; t: (B,) the trained steps. (B, out_channels, H, W)."""
        temb = self.time_embedding["linear_1"](self._waves(t).to(x.dtype))
        temb = F.silu(self.time_embedding["linear_2"](F.silu(temb)))
        h = self.conv_in(x)
        states = [h]
        for level in self.down_blocks:
            h = level(h, temb, left=states)
        h = self.mid_block.resnets[0](h, temb)  # type: ignore[index,operator]
        for attention in getattr(self.mid_block, "attentions", ()):
            h = attention(h)
        h = self.mid_block.resnets[1](h, temb)  # type: ignore[index,operator]
        for level in self.up_blocks:
            h = level(h, temb, taken=states)
        return self.conv_out(F.silu(self.conv_norm_out(h)))

    def _waves(self, t: Tensor) -> Tensor:
        """(B, width) sines and cosines of the step (DDPM)."""
        half = self.width // 2
        rate = torch.exp(
            -math.log(10000) * torch.arange(half, device=t.device, dtype=torch.float32) / (half - self.shift)
        )
        angle = t.float()[:, None] * rate
        pair = [angle.cos(), angle.sin()] if self.flip else [angle.sin(), angle.cos()]
        return torch.cat(pair, dim=1)


def _known(config: Mapping[str, Any]) -> None:
    for key, values in _ONLY.items():
        if key in config and config[key] not in values:
            raise ModelError(f"a U-Net with {key} {config[key]!r} is not built here")
    for key, known in (("down_block_types", _DOWN), ("up_block_types", _UP)):
        for kind in config.get(key, ("missing",)):
            if kind not in known:
                raise ModelError(f"a U-Net with {key} {kind!r} is not built here")
