"""The parts of diffusers' image networks without diffusers: same module names, so that its folders load as they are, and ours in it.

Also writing such a folder: config.json and safetensors for each part, and a model_index.json over all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

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
