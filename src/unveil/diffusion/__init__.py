"""The mathematics: one affine Gaussian path, one step, one loop. Knows tensors; no files, no networks' insides."""

from __future__ import annotations

from unveil.diffusion.path import (
    GaussianPath,
    mean_reverting,
    old_name,
    rectified_flow,
    residual,
    variance_exploding,
    variance_preserving,
)
from unveil.diffusion.sampling import SOLVERS, sample, step
from unveil.diffusion.schedule import Schedule, cosine_pro, cubic, linear_pro

__all__ = [
    "SOLVERS", "GaussianPath", "Schedule", "cosine_pro", "cubic", "linear_pro", "mean_reverting", "rectified_flow", "residual", "sample",
    "step", "variance_exploding", "variance_preserving",
]  # fmt: skip

__getattr__ = old_name
