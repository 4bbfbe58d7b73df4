"""The U-Nets of RDDM (Liu et al., CVPR 2024) and Resfusion (Shi et al., NeurIPS 2024), and the one that LearnIR corrects with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unveil.errors import ModelError
from unveil.networks.blocks import Attention, LinearAttention, Recipe, Skeleton, Trunk, ascend, zeroed
from unveil.networks.compact import LevelEmbedding
from unveil.networks.predictor import TIME_SCALE, Answer, check_inputs, check_mask, pad_to_multiple


class RDDMRecipe(Recipe):
    """Linear attention at every level, softmax attention at the bottom."""

    def attention(self, above: int, dim: int) -> nn.Module:
        return LinearAttention(dim) if above else Attention(dim)


RDDM = RDDMRecipe(normalised=True, final_kernel=1)


def rddm_widths(dim: int, mults: Sequence[int]) -> tuple[int, ...]:
    """(dim, dim * m for m in mults); ModelError where the groups of 8 in the norms do not go into them."""
    if dim < 8 or dim % 8 or not mults or any(m < 1 for m in mults):
        raise ModelError(
            "dim must be a multiple of 8 and mults positive whole numbers, at least one; "
            f"got dim={dim}, mults={tuple(mults)}"
        )
    return (dim, *(dim * m for m in mults))


def _first(
    network: UNet | SharedEncoderUNet, x_t: Tensor, y: Tensor, t: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Features (B, w_0, H', W') after the first convolution of the padded inputs, and the time embedding, once all are checked."""
    check_inputs(x_t, y, t, network.channels)
    check_mask(mask, x_t, network.mask_channels)
    x = torch.cat((x_t, y) if mask is None else (x_t, y, mask), dim=1)
    return network.init_conv(pad_to_multiple(x, network.multiple_of)), network.time_mlp(t)


class UNet(Skeleton):
    """RDDM / Resfusion U-Net: 36,261,187 parameters at the published dim 64, mults (1, 2, 4, 8).

    Each level: two residual blocks with group norm and weight-standardised convolutions, modulated by time, and linear
    attention; softmax attention at the bottom. State dicts of the official code load with strict=True (276 tensors;
    strip `denoising_module.`, `model.unet0.`).

    Data for those who run it:
      channels, out_channels, mask_channels: of x_t and y, of the output, of the mask (0: none);
      multiple_of: sizes divisible by it need no padding inside.
    """

    def __init__(
        self,
        dim: int = 64,
        mults: Sequence[int] = (1, 2, 4, 8),
        channels: int = 3,
        out_channels: int | None = None,
        mask_channels: int = 0,
    ) -> None:
        outputs = channels if out_channels is None else out_channels
        super().__init__(2 * channels + mask_channels, outputs, rddm_widths(dim, mults), RDDM)
        self.channels = channels
        self.out_channels = outputs
        self.mask_channels = mask_channels
        self.multiple_of = 2 ** (len(mults) - 1)

    def forward(self, x_t: Tensor, y: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """x_t, y (B, channels, H, W), t (B,) -> (B, out_channels, H, W); what it predicts is up to its training.

        x_t, y: images in [-1, 1], x_t with its noise.
        t: Resfusion's index 0 ... T' - 1, or RDDM's 0 ... 999. mask: (B, mask_channels, H, W), {-1, 1} in Resfusion,
        [0, 1] in RDDM. Any size from 1x1: sizes that multiple_of does not divide are reflected at the bottom and right,
        and the output is cropped. Raises InputError on other shapes and on integer images.
        """
        height, width = x_t.shape[-2:]
        first, time = _first(self, x_t, y, t, mask)
        x, skips = self.descend(first, time)
        x = ascend(self.ups, x, skips, time)
        x = self.final_res_block(torch.cat((x, first), dim=1), time)
        return self.final_conv(x)[..., :height, :width]

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """See `networks.predictor.Predictor`: of a network that takes the noise level and predicts the residual."""
        return Answer(x_t, y, level, self(x_t, y, TIME_SCALE * level))


class UNetPair(nn.Module):
    """Two separate U-Nets, `unet0` for the residual and `unet1` for the noise.

    Official `share_encoder=0`; 72,522,374 parameters at dim 64.
    """

    def __init__(
        self, dim: int = 64, mults: Sequence[int] = (1, 2, 4, 8), channels: int = 3, mask_channels: int = 0
    ) -> None:
        super().__init__()
        self.unet0 = UNet(dim, mults, channels, mask_channels=mask_channels)
        self.unet1 = UNet(dim, mults, channels, mask_channels=mask_channels)
        self.channels = channels
        self.out_channels = 2 * channels
        self.mask_channels = mask_channels
        self.multiple_of = self.unet0.multiple_of

    def forward(self, x_t: Tensor, y: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """As UNet.forward, -> (B, 2 * channels, H, W): the residual's channels, then the noise's."""
        return torch.cat((self.unet0(x_t, y, t, mask), self.unet1(x_t, y, t, mask)), dim=1)


class SharedEncoderUNet(Trunk):
    """One encoder and two decoders (official `share_encoder=1`; 51,980,614 parameters at dim 64).

    The residual's decoder (`ups_no_skip`) sees the bottom alone, the noise's decoder (`ups`) the skips as well.
    """

    def __init__(
        self, dim: int = 64, mults: Sequence[int] = (1, 2, 4, 8), channels: int = 3, mask_channels: int = 0
    ) -> None:
        super().__init__(2 * channels + mask_channels, rddm_widths(dim, mults), RDDM)
        self.ups_no_skip = self.decoder(skips=False)
        self.final_res_block_1 = self.block(dim, dim)
        self.final_conv_1 = nn.Conv2d(dim, channels, 1)
        self.ups = self.decoder()
        self.final_res_block_2 = self.block(2 * dim, dim)
        self.final_conv_2 = nn.Conv2d(dim, channels, 1)
        self.channels = channels
        self.out_channels = 2 * channels
        self.mask_channels = mask_channels
        self.multiple_of = 2 ** (len(mults) - 1)

    def forward(self, x_t: Tensor, y: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """As UNet.forward, -> (B, 2 * channels, H, W): the residual's channels, then the noise's."""
        height, width = x_t.shape[-2:]
        first, time = _first(self, x_t, y, t, mask)
        bottom, skips = self.descend(first, time)
        residual = self.final_conv_1(self.final_res_block_1(ascend(self.ups_no_skip, bottom, (), time), time))
        x = ascend(self.ups, bottom, skips, time)
        noise = self.final_conv_2(self.final_res_block_2(torch.cat((x, first), dim=1), time))
        return torch.cat((residual, noise), dim=1)[..., :height, :width]


class CorrectionUNet(Skeleton):
    """RDDM's U-Net on (x_t, y, residual), given the noise level and the fidelity; zero at first, so that nothing is corrected.

    LearnIR (section 3.2) has mu_theta(z_t, z_y, t); the predictor's residual is shown to it besides, which it corrects. dim: channels
    after the first convolution, a multiple of 8; mults: widths of the levels in it.
    """

    def __init__(self, dim: int = 64, mults: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__(9, 3, rddm_widths(dim, mults), RDDM)
        self.multiple_of = 2 ** (len(mults) - 1)
        self.fidelity_mlp = LevelEmbedding(self.time_dim)
        zeroed(self.final_conv)

    def forward(self, answer: Answer, fidelity: Tensor) -> Tensor:
        """Offset of the residual (B, 3, H, W), any H, W >= 1; fidelity: (B,) in [0, 1]."""
        height, width = answer.y.shape[-2:]
        stacked = torch.cat((answer.x_t, answer.y, answer.residual.to(answer.y.dtype)), dim=1)
        first = self.init_conv(pad_to_multiple(stacked, self.multiple_of))
        time = self.time_mlp(TIME_SCALE * answer.level) + self.fidelity_mlp(fidelity)
        x, skips = self.descend(first, time)
        x = ascend(self.ups, x, skips, time)
        x = self.final_conv(self.final_res_block(torch.cat((x, first), dim=1), time))
        return fidelity.reshape(-1, 1, 1, 1) * x[..., :height, :width]
