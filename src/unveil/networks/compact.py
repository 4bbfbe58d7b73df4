"""The shipped default: a compact residual U-Net on half-resolution pixels, without normalisation or attention.

No layer depends on the whole picture (but where `pooled` says so), so that a tile computes what the whole photograph would; global
context comes from the low-resolution stage. Two convolutions a block, the noise level as a per-channel scale and shift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.networks.blocks import zeroed
from unveil.networks.condition import SIZE
from unveil.networks.predictor import Answer, Features

_EMBEDDING = 128


class LevelEmbedding(nn.Module):
    """(B,) values in [0, 1] -> (B, 128): Fourier features at 1..128 half periods, then two linear layers."""

    frequency: Tensor

    def __init__(self, out: int = _EMBEDDING) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.pi * 2.0 ** torch.linspace(0, 7, 16), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(32, out), nn.SiLU(), nn.Linear(out, out))

    def forward(self, level: Tensor) -> Tensor:
        angle = level.reshape(-1, 1).float() * self.frequency
        return self.mlp(torch.cat([angle.sin(), angle.cos()], dim=1).to(self.mlp[0].weight.dtype))  # type: ignore[arg-type]


class Block(nn.Module):
    """x + conv(silu(scale * conv(silu(x)) + shift)); the last convolution starts at zero, so a new block is the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.modulation = zeroed(nn.Linear(_EMBEDDING, 2 * width))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(x))
        if torch.is_grad_enabled() or h.dtype != x.dtype:
            return x + self.conv2(F.silu(h * (1 + scale) + shift))
        # The same sums without a new image for each: a twentieth of the network's time on a processor.
        F.silu(h.mul_(1 + scale).add_(shift), inplace=True)
        return self.conv2(h).add_(x)


class ConditionEmbedding(nn.Module):
    """(B, SIZE) conditions (see `networks.condition`) -> (B, 128), zero at first, so that a network is what it was without it."""

    def __init__(self, out: int = _EMBEDDING) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(SIZE, out), nn.SiLU(), zeroed(nn.Linear(out, out)))

    def forward(self, condition: Tensor) -> Tensor:
        return self.mlp(condition)


def _blocks(width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(Block(width) for _ in range(count))


class PooledContext(nn.Module):
    """(B, C, h, w) coarsest features -> (B, 128), zero at first: what the picture as a whole says, from each feature's mean and maximum."""

    def __init__(self, width: int, out: int = _EMBEDDING) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * width, out), nn.SiLU(), zeroed(nn.Linear(out, out)))

    def forward(self, h: Tensor) -> Tensor:
        return self.mlp(torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1))


def logarithm(y: Tensor) -> Tensor:
    """The logarithm of light for a network, [-1, 1] for [-1, 1]: ln(1 + v) / ln(256) of levels v in [0, 255], brought to that range.

    In the dark what differs by a level of 255 differs by a hundredth of the range of y, and by a quarter of this one's.
    """
    return torch.log1p((y.float() + 1).clamp(0, 2) * 127.5).mul(2 / math.log(256)) - 1


class CompactUNet(nn.Module):
    """Predicts the residual y - x0 from (x_t, y, level).

    base: width at half resolution; mults: width multiple per level (each level halves the resolution once more);
    blocks: residual blocks per level and direction; bottom: further blocks on the coarsest level, which widen the receptive field at little
    cost (damage to the light has a large extent); up_blocks: residual blocks per level of the decoder, as many as `blocks`
    by default; conditioned: whether it takes the kinds of damage and the fidelity (`networks.condition`); log_light: whether it sees y by
    the logarithm of its light too; pooled: whether the coarsest features' means and maxima modulate it from there on, for a network
    that is shown whole photographs, since the output then depends on all pixels.
    """

    channels = 3

    def __init__(
        self,
        base: int = 48,
        mults: tuple[int, ...] = (1, 2, 4, 4),
        blocks: int = 2,
        bottom: int = 0,
        up_blocks: int | None = None,
        conditioned: bool = False,
        log_light: bool = False,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        widths = [base * m for m in mults]
        self.widths = tuple(widths)
        self.multiple_of = 2 ** len(widths)
        self.embed = LevelEmbedding()
        self.condition = ConditionEmbedding() if conditioned else None
        self.log_light = log_light
        self.pooled = PooledContext(widths[-1]) if pooled else None
        self.stem = nn.Conv2d((3 if log_light else 2) * 12, widths[0], 3, padding=1)
        counts = [blocks] * (len(widths) - 1) + [blocks + bottom]
        self.down = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, counts, strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(w, v, 2, stride=2) for w, v in zip(widths, widths[1:], strict=False))
        self.grow = nn.ModuleList(nn.Conv2d(v, 4 * w, 1) for w, v in zip(widths, widths[1:], strict=False))
        self.up = nn.ModuleList(_blocks(w, blocks if up_blocks is None else up_blocks) for w in widths[:-1])
        self.out = zeroed(nn.Conv2d(widths[0], 12, 3, padding=1))

    def features(
        self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None, coarsest: int | None = None
    ) -> Features:
        """Decoder features of every level, or of the `coarsest` ones, at least one; `read` needs all.

        x_t, y: (B, 3, H, W) state and damaged image in [-1, 1], H and W multiples of `multiple_of`. level: (B,) noise level s_t.
        condition: (B, SIZE), for a conditioned network; left out, everything is unknown and fidelity 0.
        """
        embedding = self.embed(level)
        if self.condition is not None:
            context = y.new_zeros(len(y), SIZE) if condition is None else condition
            embedding = embedding + self.condition(context.float())
        seen = [x_t, y, logarithm(y).to(y.dtype)] if self.log_light else [x_t, y]
        h = self.stem(F.pixel_unshuffle(torch.cat(seen, dim=1), 2))
        skips: list[Tensor] = []
        for i, level_blocks in enumerate(self.down):
            if i == len(self.shrink) and self.pooled is not None:
                embedding = embedding + self.pooled(h)
            for block in level_blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
            if i < len(self.shrink):
                skips.append(h)
                h = self.shrink[i](h)
        decoded = [h]
        left_out = 0 if coarsest is None else len(self.widths) - coarsest
        for i in reversed(range(left_out, len(self.up))):
            h = F.pixel_shuffle(self.grow[i](h), 2) + skips[i]
            for block in self.up[i]:  # type: ignore[attr-defined]
                h = block(h, embedding)
            decoded.append(h)
        return Features(tuple(reversed(decoded)), embedding)

    def read(self, features: Features) -> Tensor:
        """The residual (B, 3, H, W) from the finest features."""
        return F.pixel_shuffle(self.out(features.levels[0]), 2)

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """See `networks.predictor.Predictor`; with the features that `CorrectionHead` reads."""
        features = self.features(x_t, y, level, condition)
        return Answer(x_t, y, level, self.read(features), features)

    def forward(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.read(self.features(x_t, y, level, condition))


class CorrectionHead(nn.Module):
    """DPSC's light correction network: from the frozen predictor's decoder features to an offset of its x0_hat.

    It sees the features of three levels, the predictor's own residual, the noise level t and the fidelity f. The offset
    is multiplied by f, so f = 0 leaves the posterior sampler exactly as it is.
    """

    def __init__(self, widths: tuple[int, ...], width: int = 32, blocks: int = 1) -> None:
        super().__init__()
        own = [width * m for m in (1, 2, 3)][: len(widths)]
        self.multiple_of = 2 ** len(widths)
        self.embed = LevelEmbedding()
        self.embed_level = nn.Linear(_EMBEDDING, _EMBEDDING)
        self.take = nn.ModuleList(
            nn.Conv2d(w + (24 if i == 0 else 0), o, 3 if i == 0 else 1, padding=1 if i == 0 else 0)
            for i, (w, o) in enumerate(zip(widths, own, strict=False))
        )
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(own, own[1:], strict=False))
        self.down = nn.ModuleList(_blocks(o, blocks) for o in own)
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in zip(own, own[1:], strict=False))
        self.up = nn.ModuleList(_blocks(o, blocks) for o in own[:-1])
        self.out = zeroed(nn.Conv2d(own[0], 12, 3, padding=1))

    def forward(self, answer: Answer, fidelity: Tensor) -> Tensor:
        """Offset of the residual (B, 3, H, W); fidelity: (B,) in [0, 1]. The answer is a compact predictor's."""
        features, residual, y = answer.features, answer.residual, answer.y
        assert features is not None
        embedding = self.embed(fidelity) + self.embed_level(features.embedding)
        own = F.pixel_unshuffle(torch.cat([residual, y], dim=1), 2)
        h = self.take[0](torch.cat([features.levels[0], own.to(features.levels[0].dtype)], dim=1))
        skips: list[Tensor] = []
        for i, level_blocks in enumerate(self.down):
            if i:
                skips.append(h)
                h = self.shrink[i - 1](h) + self.take[i](features.levels[i])
            for block in level_blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
        for i in reversed(range(len(self.up))):
            h = F.pixel_shuffle(self.grow[i](h), 2) + skips[i]
            for block in self.up[i]:  # type: ignore[attr-defined]
                h = block(h, embedding)
        return fidelity.reshape(-1, 1, 1, 1) * F.pixel_shuffle(self.out(h), 2)


BORDER = 0.6
"""Noise level s_t from which `low` answers; with the shipped schedule these are the steps of the reduced photograph."""


class TimestepExperts(nn.Module):
    """low: for noise levels of at least BORDER, native: for those below. Both predict y - x0 and take the same inputs.

    Each is given by its sizes, by the names of `CompactUNet`'s constructor.
    """

    channels = 3

    def __init__(self, low: Mapping[str, Any], native: Mapping[str, Any]) -> None:
        super().__init__()
        self.low = CompactUNet(**{"conditioned": True, **low})
        self.native = CompactUNet(**{"conditioned": True, **native})
        self.multiple_of = max(self.low.multiple_of, self.native.multiple_of)

    def expert(self, level: float) -> CompactUNet:
        """The network that answers at a noise level."""
        return self.low if level >= BORDER else self.native

    def features(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Features:
        """As `CompactUNet.features`; all levels of a batch lie on one side of BORDER."""
        return self.expert(float(level[0])).features(x_t, y, level, condition)

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """See `networks.predictor.Predictor`; all levels of a batch lie on one side of BORDER."""
        return Answer(x_t, y, level, self(x_t, y, level, condition))

    def forward(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.expert(float(level[0]))(x_t, y, level, condition)
