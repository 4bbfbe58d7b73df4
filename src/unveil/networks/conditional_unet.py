"""The U-Nets of IR-SDE, DA-CLIP and wild-IR, parameter for parameter.

Luo et al., ICML 2023, ICLR 2024 and CVPR 2024 workshops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unveil.errors import ModelError
from unveil.networks.blocks import LinearAttention, Recipe, Skeleton, SpatialTransformer, ascend, downsample, upsample
from unveil.networks.predictor import TIME_SCALE, Answer, check_context, check_inputs, pad_to_multiple


@dataclass(frozen=True)
class IRSDERecipe(Recipe):
    """Linear attention everywhere, but with an embedding the transformer at the deepest level and at the bottom."""

    context_dim: int | None

    def attention(self, above: int, dim: int) -> nn.Module:
        if self.context_dim is None or above > 1:
            return LinearAttention(dim)
        return SpatialTransformer(dim, self.context_dim)


class ConditionalUNet(Skeleton):
    """The IR-SDE family's U-Net, by default as IR-SDE itself; `daclip_unet` and `wild_unet` build the two others.

    nf: channels after the first convolution; mults: widths of the levels in nf. context_dim: length of the image
    embedding, None for none. degradation: takes a degradation embedding too (DA-CLIP), added to the time through a
    learned prompt. half_size: works at half size inside, between an additional down- and upsampling layer (wild-IR).
    State dicts of the official code load with strict=True.

    Data for those who run it: channels, out_channels; context_dim, degradation; multiple_of: sizes divisible by it need
    no padding inside (as published, twice what the strides need where half_size is False).
    """

    def __init__(
        self,
        nf: int = 64,
        mults: Sequence[int] = (2, 4, 8, 16),
        channels: int = 3,
        out_channels: int | None = None,
        *,
        context_dim: int | None = None,
        degradation: bool = False,
        half_size: bool = False,
    ) -> None:
        if nf < 4 or nf % 2 or not mults or any(m < 1 for m in mults):
            raise ModelError(
                "nf must be even and at least 4, mults positive whole numbers, at least one; "
                f"got nf={nf}, mults={tuple(mults)}"
            )
        if context_dim is not None and any(nf * m % 32 for m in (1, *mults)[-2:]):
            raise ModelError(
                f"with an embedding the two deepest widths must be multiples of 32; got nf={nf}, mults={tuple(mults)}"
            )
        if degradation and context_dim is None:
            raise ModelError("degradation=True needs context_dim, the length of the embedding")
        outputs = channels if out_channels is None else out_channels
        recipe = IRSDERecipe(normalised=False, final_kernel=3, context_dim=context_dim)
        super().__init__(2 * channels, outputs, (nf, *(nf * m for m in mults)), recipe)
        self.channels = channels
        self.out_channels = outputs
        self.context_dim = context_dim
        self.degradation = degradation
        self.half_size = half_size
        self.multiple_of = 2 ** len(mults)
        if half_size:
            self.downsample = downsample(nf, nf)
            self.upsample = upsample(nf, nf)
        if degradation and context_dim is not None:
            dim = self.time_dim
            self.prompt = nn.Parameter(torch.rand(1, dim))
            self.text_mlp = nn.Sequential(nn.Linear(context_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
            self.prompt_mlp = nn.Linear(dim, dim)

    def embed(self, t: Tensor, degradation_context: Tensor | None) -> Tensor:
        """t (B,), degradation embedding (B, context_dim) -> (B, 4 nf)."""
        time = self.time_mlp(t)
        if degradation_context is None:
            return time
        return time + self.prompt_mlp(self.text_mlp(degradation_context).softmax(dim=1) * self.prompt)

    def forward(
        self,
        x_t: Tensor,
        y: Tensor,
        t: Tensor,
        image_context: Tensor | None = None,
        degradation_context: Tensor | None = None,
    ) -> Tensor:
        """x_t, y (B, channels, H, W), t (B,) -> (B, out_channels, H, W); as published it predicts the noise.

        x_t, y: images in [0, 1], x_t with its noise. t: 1 ... T.
        image_context: (B, context_dim), the CLIP embedding of the image's content; degradation_context: the same of its
        degradation. Any size from 1x1, padded by reflection inside. Raises InputError on other shapes, on integer
        images and on embeddings missing or not asked for.
        """
        check_inputs(x_t, y, t, self.channels)
        check_context(image_context, "image_context", len(t), self.context_dim)
        check_context(
            degradation_context, "degradation_context", len(t), self.context_dim if self.degradation else None
        )
        context = () if image_context is None else (image_context,)
        height, width = x_t.shape[-2:]
        first = self.init_conv(pad_to_multiple(torch.cat((x_t - y, y), dim=1), self.multiple_of))
        time = self.embed(t, degradation_context)
        x, skips = self.descend(self.downsample(first) if self.half_size else first, time, *context)
        x = ascend(self.ups, x, skips, time, *context)
        x = self.upsample(x) if self.half_size else x
        x = self.final_res_block(torch.cat((x, first), dim=1), time)
        return self.final_conv(x)[..., :height, :width]

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """See `networks.predictor.Predictor`: of a network without an embedding that takes the noise level and predicts the residual."""
        return Answer(x_t, y, level, self(x_t, y, TIME_SCALE * level))


def daclip_unet() -> ConditionalUNet:
    """The published U-Net of DA-CLIP (universal-ir): 48,975,747 parameters, embeddings of 512."""
    return ConditionalUNet(64, (1, 2, 4, 8), context_dim=512, degradation=True)


def wild_unet() -> ConditionalUNet:
    """The published U-Net of wild-IR: 49,470,467 parameters, an image embedding of 768."""
    return ConditionalUNet(64, (1, 2, 4, 8), context_dim=768, half_size=True)
