"""The kernels that rows of a plan describe, and what they do to pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.wild import kernels
from unveil.degradation.wild.filters import correlate, wiener
from unveil.degradation.wild.settings import COLUMN, FAMILIES
from unveil.degradation.wild.shake import shake, under_display

CANVAS = 29
GRAIN = (0.9, 1.1)
"""Each weight of a Gaussian or generalised kernel is multiplied by a uniform draw from this range."""


def blur_kernels(rows: Tensor) -> Tensor:
    """Rows (B, COLUMNS) of blur -> kernels (B, 29, 29) float64, each of its own size in the middle, summing to 1."""
    out = torch.zeros(len(rows), CANVAS, CANVAS, dtype=torch.float64)
    column = dict(zip(COLUMN, rows.T, strict=True))
    families = [FAMILIES[int(f)] for f in column["family"]]
    for family in sorted(set(families)):
        at = torch.tensor([i for i, f in enumerate(families) if f == family])
        size = column["size"][at].long()
        if family in ("line", "shake"):
            for i, n in zip(at.tolist(), size.tolist(), strict=True):
                value = column["direction" if family == "line" else "seed"][i]
                r = n // 2
                span = slice(CANVAS // 2 - r, CANVAS // 2 + r + 1)
                out[i, span, span] = (kernels.line if family == "line" else shake)(n, int(value))
        elif family == "sinc":
            out[at] = kernels.sinc(size, CANVAS, column["cutoff"][at])
        elif family in ("defocus", "box"):
            out[at] = getattr(kernels, family)(size, CANVAS)
        else:
            squared = kernels.distance(CANVAS, *(column[c][at] for c in ("sigma_x", "sigma_y", "angle")))
            shape = kernels.plateau if family.startswith("plateau") else kernels.gaussian
            made = shape(size, CANVAS, squared, column["beta"][at])
            out[at] = made if shape is kernels.plateau else _grainy(made, column["seed"][at])
    return out


def _grainy(kernel: Tensor, seeds: Tensor) -> Tensor:
    low, high = GRAIN
    for i, seed in enumerate(seeds.tolist()):
        grain = torch.rand(kernel.shape[1:], generator=torch.Generator().manual_seed(int(seed)), dtype=torch.float64)
        kernel[i] *= low + (high - low) * grain
    return kernels.normalised(kernel)


def blur(x: Tensor, sizes: Tensor, rows: Tensor, kernel: Tensor) -> Tensor:
    """Canvas x (B, 3, H, W) of `sizes` through the kernels of its rows; a few are then deconvolved, and ring."""
    reach = int(rows[:, COLUMN["size"]].max()) // 2
    middle = slice(CANVAS // 2 - reach, CANVAS // 2 + reach + 1)
    kernel = kernel[:, middle, middle]
    out = correlate(x, sizes, kernel)
    for i in (rows[:, COLUMN["wiener"]] > 0).nonzero().flatten().tolist():
        h, w = sizes[i].tolist()
        soft = out[i, :, :h, :w].clone()
        sharp = wiener(soft, kernel[i])
        blend = max(0.0, float(rows[i, COLUMN["blend"]]))
        out[i, :, :h, :w] = blend * soft + (1 - blend) * sharp
    return out


def through_display(x: Tensor, sizes: Tensor, rows: Tensor) -> Tensor:
    """Canvas x (B, 3, H, W) of `sizes`, mixed with how a camera under a display would see it."""
    made = [under_display(int(r[COLUMN["size"]]), int(r[COLUMN["seed"]])) for r in rows]
    blend = rows[:, COLUMN["blend"]].float().view(-1, 1, 1, 1).to(x.device)
    return blend * correlate(x, sizes, torch.stack(made)) + (1 - blend) * x
