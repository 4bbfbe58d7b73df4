"""A correction of its own (LearnIR's mu_theta): a U-Net that reads a predictor's answer, and so attaches to any predictor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unveil.networks.answer import THOUSAND, Answer
from unveil.networks.compact import LevelEmbedding
from unveil.networks.padding import pad_to_multiple
from unveil.networks.trunk import Skeleton, ascend
from unveil.networks.unet import RDDM, rddm_widths


class CorrectionUNet(Skeleton):
    """RDDM's U-Net on (x_t, y, residual), told the noise level and the fidelity; zero at first, so that nothing is corrected.

    LearnIR (section 3.2) has mu_theta(z_t, z_y, t); the predictor's residual is shown to it besides, since it is to be corrected.

    Args:
        dim: Channels after the first convolution, a multiple of 8.
        mults: Widths of the levels in `dim`.

    """

    def __init__(self, dim: int = 64, mults: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__(9, 3, rddm_widths(dim, mults), RDDM)
        self.multiple_of = 2 ** (len(mults) - 1)
        self.fidelity_mlp = LevelEmbedding(self.time_dim)
        nn.init.zeros_(self.final_conv.weight)
        nn.init.zeros_(self.final_conv.bias)  # type: ignore[arg-type]

    def forward(self, answer: Answer, fidelity: Tensor) -> Tensor:
        """Offset of the residual (B, 3, H, W), any H, W >= 1; fidelity: (B,) in [0, 1]."""
        height, width = answer.y.shape[-2:]
        seen = torch.cat((answer.x_t, answer.y, answer.residual.to(answer.y.dtype)), dim=1)
        first = self.init_conv(pad_to_multiple(seen, self.multiple_of))
        time = self.time_mlp(THOUSAND * answer.level) + self.fidelity_mlp(fidelity)
        x, skips = self.descend(first, time)
        x = ascend(self.ups, x, skips, time)
        x = self.final_conv(self.final_res_block(torch.cat((x, first), dim=1), time))
        return fidelity.reshape(-1, 1, 1, 1) * x[..., :height, :width]
