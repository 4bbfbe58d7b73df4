"""Dehazing by the dark channel prior (He, Sun and Tang 2009)."""

from __future__ import annotations

import numpy as np

from unveil.evaluation.colour import LUMA
from unveil.evaluation.filters import guided_filter, min_filter


def dark_channel(
    image: np.ndarray,
    strength: float = 0.95,
    *,
    patch_radius: int = 7,
    guide_radius: int = 40,
    epsilon: float = 1e-3,
    floor: float = 0.1,
    brightest: float = 0.001,
) -> np.ndarray:
    """The image (H, W, 3) in [0, 1] without haze; eqs. 5, 12 and 22 with the transmission refined by a guided filter.

    strength: share of the haze removed (the paper's omega). The airlight is the mean colour of the `brightest` share of pixels in the
    dark channel. floor: least transmission.
    """
    dark = min_filter(image.min(axis=2), patch_radius).ravel()
    count = max(1, int(dark.size * brightest))
    airlight = image.reshape(-1, 3)[np.argsort(dark, kind="stable")[-count:]].mean(axis=0)
    airlight = np.maximum(airlight, 1 / 255)
    transmission = 1 - strength * min_filter((image / airlight).min(axis=2), patch_radius)
    transmission = np.clip(guided_filter(image @ LUMA, transmission, guide_radius, epsilon), floor, 1.0)[:, :, None]
    return np.clip((image - airlight) / transmission + airlight, 0.0, 1.0)


def dark_channel_inverted(image: np.ndarray, strength: float = 0.8) -> np.ndarray:
    """Low light treated as haze in the negative (Dong et al. 2011)."""
    return 1.0 - dark_channel(1.0 - image, strength)
