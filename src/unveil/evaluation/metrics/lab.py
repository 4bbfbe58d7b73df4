"""Colour differences in CIE Lab: the mean absolute error of shadow-removal tables, and CIEDE2000."""

from __future__ import annotations

from typing import Any

import numpy as np

from unveil.evaluation.arrays import White, as_mask, as_pair, crop_border, rgb_to_lab


def mae_lab(
    prediction: Any,
    target: Any,
    *,
    white: White = "D50",
    border: int = 0,
    mask: Any = None,
    data_range: tuple[float, float] | None = None,
) -> float:
    """Mean over pixels of |dL| + |da| + |db|: the sum of the three channels, not their mean. Papers print it as MAE or as "RMSE".

    prediction, target: (H, W, 3) or (H, W), see `as_image`. white: D50 is what the MATLAB scripts of ISTD use, D65 what
    scikit-image gives. mask: (H, W), true where it counts; the mean is over the pixels of the region.
    Raises InputError for images that cannot be compared or an empty region.
    """
    left, right = as_pair(prediction, target, data_range=data_range)
    difference = np.abs(rgb_to_lab(left, white) - rgb_to_lab(right, white)).sum(axis=2)
    return _mean_inside(difference, border, mask)


def ciede2000(
    prediction: Any,
    target: Any,
    *,
    white: White = "D65",
    border: int = 0,
    mask: Any = None,
    data_range: tuple[float, float] | None = None,
) -> float:
    """Mean CIEDE2000 difference of two sRGB images; about 1 is just noticeable. Arguments and errors as in `mae_lab`."""
    left, right = as_pair(prediction, target, data_range=data_range)
    return _mean_inside(delta_e2000(rgb_to_lab(left, white), rgb_to_lab(right, white)), border, mask)


def _mean_inside(values: np.ndarray, border: int, mask: Any) -> float:
    inside = np.ones(values.shape, dtype=bool) if mask is None else as_mask(mask, values.shape)
    values, inside = crop_border(values, border), crop_border(inside, border)
    return float(values[as_mask(inside, values.shape)].mean())


def delta_e2000(lab_1: np.ndarray, lab_2: np.ndarray) -> np.ndarray:
    """CIEDE2000 of Lab colours (..., 3) and (..., 3), all weights 1: (...). Numbers: Sharma, Wu and Dalal 2005, eqs. 2 to 22."""
    lightness_1, lightness_2 = lab_1[..., 0], lab_2[..., 0]
    chroma = (np.hypot(lab_1[..., 1], lab_1[..., 2]) + np.hypot(lab_2[..., 1], lab_2[..., 2])) / 2  # (2), (3)
    g = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))  # (4)
    a_1, a_2 = (1 + g) * lab_1[..., 1], (1 + g) * lab_2[..., 1]  # (5)
    c_1, c_2 = np.hypot(a_1, lab_1[..., 2]), np.hypot(a_2, lab_2[..., 2])  # (6)
    h_1 = np.degrees(np.arctan2(lab_1[..., 2], a_1)) % 360  # (7)
    h_2 = np.degrees(np.arctan2(lab_2[..., 2], a_2)) % 360

    grey = c_1 * c_2 == 0  # a grey has no hue
    turn = (h_2 - h_1 + 180) % 360 - 180
    turn = np.where(grey, 0.0, np.where((turn == -180) & (h_2 > h_1), 180.0, turn))  # (10)
    d_hue = 2 * np.sqrt(c_1 * c_2) * np.sin(np.radians(turn) / 2)  # (11)

    lightness, c_mean = (lightness_1 + lightness_2) / 2, (c_1 + c_2) / 2  # (12), (13)
    total = h_1 + h_2
    wrapped = np.where(total < 360, (total + 360) / 2, (total - 360) / 2)
    hue = np.where(grey, total, np.where(np.abs(h_1 - h_2) <= 180, total / 2, wrapped))  # (14)
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )  # (15)
    turn_angle = 30 * np.exp(-(((hue - 275) / 25) ** 2))  # (16)
    r_c = 2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))  # (17)
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)  # (18)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t  # (19), (20)
    r_t = -np.sin(np.radians(2 * turn_angle)) * r_c  # (21)
    d_l, d_c, d_h = (lightness_2 - lightness_1) / s_l, (c_2 - c_1) / s_c, d_hue / s_h
    return np.sqrt(np.maximum(d_l**2 + d_c**2 + d_h**2 + r_t * d_c * d_h, 0.0))  # (22)
