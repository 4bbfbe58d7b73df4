from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation import KINDS, contact_sheet


def test_sheet_shows_the_original_first_and_then_more_and_more_damage(
    photographs: Tensor, generator: torch.Generator
) -> None:
    sheet = contact_sheet(photographs, generator, severities=(0.0, 1.0))
    assert sheet.shape == (3, len(KINDS) * 66 - 2, 3 * 66 - 2)
    for i in range(len(KINDS)):
        row = sheet[:, i * 66 : i * 66 + 64]
        original, mild, strong = row[:, :, :64], row[:, :, 66:130], row[:, :, 132:196]
        assert torch.equal(original, photographs[i])
        assert (mild - original).square().mean() < (strong - original).square().mean()
