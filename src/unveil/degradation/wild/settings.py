"""Every probability and range of the wild pipeline, as in the published code (Luo et al., CVPR 2024 workshops).

The paper itself gives none, and leaves out the camera under the display.
"""

from __future__ import annotations

from dataclasses import dataclass

OPERATIONS = ("blur", "under_display", "resize", "noise", "jpeg")
FAMILIES = (
    "gaussian", "anisotropic", "generalised", "generalised_anisotropic", "plateau", "plateau_anisotropic",
    "defocus", "box", "line", "shake", "sinc",
)  # fmt: skip
FAMILY_ODDS = (0.35, 0.2, 0.1, 0.03, 0.1, 0.03, 0.1, 0.03, 0.03, 0.03)
COLUMNS = (
    "operation", "family", "size", "sigma_x", "sigma_y", "angle", "beta", "cutoff", "direction", "wiener", "blend",
    "scale", "interpolation", "gaussian", "gaussian_grey", "poisson", "poisson_grey", "quality", "strength", "seed",
)  # fmt: skip
"""The columns of a plan. operation: index into OPERATIONS, -1 for nothing. A column that an operation has not holds -1."""

COLUMN = {name: i for i, name in enumerate(COLUMNS)}
NOTHING = -1.0
PSF_SIZES = (5, 29)
UNDER_DISPLAY_SIZE = 41


@dataclass(frozen=True)
class Blur:
    """A chance of blur in a phase; where it misses, a camera under the display has its own chance."""

    chance: float
    radius: tuple[int, int]
    sigma: tuple[float, float]
    sinc: float
    under_display: float = 0.0


@dataclass(frozen=True)
class Phase:
    """Operations in random order. resize: "away", "back" or None. jpeg: chance and range of the quality, weak first."""

    blur: Blur
    resize: str | None = None
    noise: float = 0.0
    jpeg: tuple[float, tuple[float, float]] | None = None


PHASES = (
    Phase(Blur(0.8, (2, 9), (0.2, 2.2), 0.1, 0.2), "away", 0.4, (0.4, (95.0, 60.0))),
    Phase(Blur(0.4, (2, 4), (0.2, 1.5), 0.1, 0.2), None, 0.2),
    Phase(Blur(0.8, (2, 9), (0.2, 1.0), 0.8), "back", 0.0, (0.4, (100.0, 80.0))),
)
RESIZE = 0.8
SCALE = (0.5, 1.4)
"""Sizes are divided by this: enlarged to twice the size, reduced to 0.71 of it."""
WIENER, WIENER_BELOW, WIENER_BLENDED = 0.1, 8, 0.1
BLEND = (0.1, 0.5)
NOISES = {"gaussian": (0.6, (1 / 255, 5 / 255)), "poisson": (0.4, (0.01, 0.5))}
GREY_NOISE = 0.4
SHAPES = {"generalised": (0.5, 2.0), "plateau": (1.0, 1.5)}
"""Exponents beta: half of the kernels have one between the lower end and 1, half between 1 and the upper end."""
