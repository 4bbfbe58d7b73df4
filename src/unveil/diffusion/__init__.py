"""The mathematics: one affine Gaussian path, one step, one loop. Knows tensors; no files, no networks' insides."""

from __future__ import annotations

from typing import Any

from unveil.diffusion.path import (
    GaussianPath,
    mean_reverting,
    rectified_flow,
    residual,
    variance_exploding,
    variance_preserving,
)
from unveil.diffusion.sampling import SOLVERS, sample, step
from unveil.diffusion.schedule import Schedule, cosine_pro, cubic, linear_pro
from unveil.errors import note

__all__ = [
    "SOLVERS",
    "GaussianPath",
    "Schedule",
    "cosine_pro",
    "cubic",
    "linear_pro",
    "mean_reverting",
    "rectified_flow",
    "residual",
    "sample",
    "step",
    "variance_exploding",
    "variance_preserving",
]


def __getattr__(name: str) -> Any:
    """The name of 0.1, which goes in 0.2."""
    if name == "Process":
        note("unveil.diffusion.Process is called GaussianPath; the old name goes in 0.2", stacklevel=2)
        from unveil.diffusion.path import Process

        return Process
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
