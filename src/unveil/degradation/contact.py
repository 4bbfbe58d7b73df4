"""A picture of what the simulators do, for eyes."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.draws import check
from unveil.degradation.registry import KINDS


def contact_sheet(
    x: Tensor, generator: torch.Generator, severities: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
) -> Tensor:
    """One row per kind, one column per severity, after a column with the original.

    x: (B, 3, H, W) float32 in [0, 1]; row k shows sample k mod B. Within a row all but the severity is drawn alike.
    Returns (3, n (H + 2) - 2, (1 + len(severities)) (W + 2) - 2) for n kinds, the cells two white pixels apart. Raises
    InputError.
    """
    check(x)
    _, _, h, w = x.shape
    rows, columns = len(KINDS), 1 + len(severities)
    sheet = torch.ones(3, rows * (h + 2) - 2, columns * (w + 2) - 2)
    for i, damage in enumerate(KINDS.values()):
        source = x[i % len(x)][None]
        seed = int(torch.randint(2**31, (1,), generator=generator))
        cells = [source] + [damage(source, torch.Generator().manual_seed(seed), s)[0] for s in severities]
        for j, cell in enumerate(cells):
            sheet[:, i * (h + 2) : i * (h + 2) + h, j * (w + 2) : j * (w + 2) + w] = cell[0].cpu()
    return sheet
