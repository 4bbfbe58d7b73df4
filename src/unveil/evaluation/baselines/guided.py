"""The guided filter (He, Sun and Tang 2010): smooths one image along the edges of another."""

from __future__ import annotations

import numpy as np

from unveil.evaluation.filters import box_mean


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """image (H, W) as a locally linear function of guide (H, W), both in [0, 1]; eqs. 5, 6 and 8.

    epsilon: variance of the guide below which it is smoothed over.
    """
    mean_g, mean_i = box_mean(guide, radius), box_mean(image, radius)
    covariance = box_mean(guide * image, radius) - mean_g * mean_i
    slope = covariance / (box_mean(guide**2, radius) - mean_g**2 + epsilon)
    return box_mean(slope, radius) * guide + box_mean(mean_i - slope * mean_g, radius)
