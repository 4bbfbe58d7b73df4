"""Low light as an illumination that divides the image, in the manner of LIME (Guo, Li and Ling 2017)."""

from __future__ import annotations

import numpy as np

from unveil.evaluation.colour import LUMA
from unveil.evaluation.filters import guided_filter, max_filter, min_filter


def lime_like(
    image: np.ndarray,
    gamma: float = 0.8,
    *,
    close_radius: int = 7,
    guide_radius: int = 8,
    epsilon: float = 1e-4,
    floor: float = 0.02,
) -> np.ndarray:
    """The image (H, W, 3) in [0, 1] divided by its illumination to the power `gamma`.

    The illumination is the largest of the three channels, closed (small dark spots filled) and smoothed by a guided filter instead
    of LIME's optimisation; it never falls below `floor`.
    """
    largest = min_filter(max_filter(image.max(axis=2), close_radius), close_radius)
    illumination = np.clip(guided_filter(image @ LUMA, largest, guide_radius, epsilon), floor, 1.0)
    return np.clip(image / illumination[:, :, None] ** gamma, 0.0, 1.0)
