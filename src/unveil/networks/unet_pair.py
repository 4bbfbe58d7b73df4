"""RDDM's networks that predict residual and noise apart (its objective `pred_res_noise`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unveil.networks.checks import check_inputs, check_mask
from unveil.networks.padding import pad_to_multiple
from unveil.networks.trunk import Trunk, ascend
from unveil.networks.unet import RDDM, UNet, rddm_widths


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
        check_inputs(x_t, y, t, self.channels)
        check_mask(mask, x_t, self.mask_channels)
        height, width = x_t.shape[-2:]
        x = torch.cat((x_t, y) if mask is None else (x_t, y, mask), dim=1)
        first = self.init_conv(pad_to_multiple(x, self.multiple_of))
        time = self.time_mlp(t)
        bottom, skips = self.descend(first, time)
        residual = self.final_conv_1(self.final_res_block_1(ascend(self.ups_no_skip, bottom, (), time), time))
        x = ascend(self.ups, bottom, skips, time)
        noise = self.final_conv_2(self.final_res_block_2(torch.cat((x, first), dim=1), time))
        return torch.cat((residual, noise), dim=1)[..., :height, :width]
