"""diffusers' UNet2DModel (DDPM, ADM) and AutoencoderKL (Stable Diffusion's VAE) without diffusers.

Both are built from their config.json and have diffusers' names for all parts and weights, so that its folders load as they are, and ours
in it. Also writing such a folder: config.json and safetensors for each part, and a model_index.json over all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from unveil.errors import ModelError
from unveil.util.atomic import aside


class ResnetBlock(nn.Module):
    """Two convolutions with a short cut, modulated by the time embedding; change: "down" or "up" halves or doubles the size inside.

    time: width of the time embedding, 0 for none. scale_shift: the time scales and shifts the second norm's output (ADM) instead of
    being added before it (DDPM).
    """

    def __init__(
        self, inner: int, outer: int, *, time: int = 0, groups: int = 32, eps: float = 1e-5, scale_shift: bool = False,
        change: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.change, self.scale_shift = change, scale_shift
        self.norm1 = nn.GroupNorm(groups, inner, eps)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, outer * (2 if scale_shift else 1)) if time else None
        self.norm2 = nn.GroupNorm(groups, outer, eps)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else None

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """(B, inner, H, W) -> (B, outer, H', W'). temb: (B, time) after its activation."""
        h = self._changed(F.silu(self.norm1(x)))
        x = self._changed(x)
        h = self.conv1(h)
        shift = self.time_emb_proj(temb)[:, :, None, None] if self.time_emb_proj is not None and temb is not None else 0
        if self.scale_shift and isinstance(shift, Tensor):
            scale, shift = shift.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + shift)
        h = self.conv2(F.silu(h))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))

    def _changed(self, x: Tensor) -> Tensor:
        if self.change == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.change == "up" else x


class Attention(nn.Module):
    """Self-attention over all positions, with its norm and its short cut. head: channels of one head."""

    def __init__(self, channels: int, head: int, groups: int = 32, eps: float = 1e-5) -> None:
        super().__init__()
        self.heads = channels // head
        self.group_norm = nn.GroupNorm(groups, channels, eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        b, c, h, w = x.shape
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (m(tokens).view(b, h * w, self.heads, -1).transpose(1, 2) for m in (self.to_q, self.to_k, self.to_v))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return x + self.to_out[0](attended).transpose(1, 2).reshape(b, c, h, w)


class Downsample(nn.Module):
    """A convolution with stride 2. pad: on all sides; 0 pads right and bottom alone, as the autoencoder does."""

    def __init__(self, channels: int, pad: int = 1) -> None:
        super().__init__()
        self.pad = pad
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=pad)

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C, H / 2, W / 2)."""
        return self.conv(x if self.pad else F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Every pixel four times, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks at one resolution, with the attentions and the change of resolution that diffusers keeps beside them.

    recompute: keep only the blocks' inputs for the backward pass and compute the rest again there.
    """

    def __init__(
        self, resnets: list[nn.Module], attentions: list[nn.Module], *, down: list[nn.Module] | None = None,
        up: list[nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        if down:
            self.downsamplers = nn.ModuleList(down)
        if up:
            self.upsamplers = nn.ModuleList(up)
        self.recompute = False

    def forward(self, x: Tensor, temb: Tensor | None = None, *, left: Any = None, taken: Any = None) -> Tensor:
        """x through all blocks. left: a list that is given every state on the way; taken: one whose states join, last first."""
        attentions = list(getattr(self, "attentions", ()))
        for i, block in enumerate(self.resnets):
            if taken is not None:
                x = torch.cat([x, taken.pop()], dim=1)
            x = self._run(block, x, temb)
            x = attentions[i](x) if i < len(attentions) else x
            if left is not None:
                left.append(x)
        for change in (*getattr(self, "downsamplers", ()), *getattr(self, "upsamplers", ())):
            x = self._run(change, x, temb)
            if left is not None:
                left.append(x)
        return x

    def _run(self, block: nn.Module, x: Tensor, temb: Tensor | None) -> Tensor:
        if self.recompute and torch.is_grad_enabled() and x.requires_grad:
            return checkpoint(block, x, temb, use_reentrant=False)  # type: ignore[return-value]
        return block(x, temb)


WEIGHTS = "diffusion_pytorch_model.safetensors"
_VERSION = {"_diffusers_version": "0.31.0"}


def write_part(
    folder: Path,
    part: str,
    config: Mapping[str, Any],
    network: nn.Module | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """One part: a network's config.json and weights, written aside and renamed, or a scheduler_config.json."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    name = "scheduler_config.json" if network is None else "config.json"
    (folder / part / name).write_text(json.dumps({**_VERSION, **config}, indent=2) + "\n")
    if network is not None:
        target = folder / part / WEIGHTS
        tensors = {k: v.detach().to(dtype).contiguous() for k, v in network.state_dict().items()}
        with aside(target) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        target.chmod(0o644)


def write_index(folder: Path, pipeline: str, parts: Mapping[str, str]) -> None:
    """The model_index.json. parts: folder -> class of diffusers."""
    index = {"_class_name": pipeline, **_VERSION, **{k: ["diffusers", v] for k, v in parts.items()}}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


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
