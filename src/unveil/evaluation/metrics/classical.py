"""Metrics in closed form: PSNR, SSIM in the versions that published tables use, and colour differences in CIE Lab.

PSNR is taken over the whole frame, a region, or after the brightness has been matched. SSIM comes in three versions and a multi-scale form.
In Lab: the mean absolute error of shadow-removal tables, and CIEDE2000.
"""

from __future__ import annotations

from math import inf, log10
from typing import Any, Literal, get_args

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import (
    LUMA,
    Space,
    White,
    as_mask,
    as_pair,
    correlate_same,
    correlate_valid,
    gaussian_kernel,
    rgb_to_lab,
    size_text,
    to_space,
)  # fmt: skip
from unveil.util.words import check_known

Region = Literal["pixels", "frame"]


def psnr(prediction: Any, target: Any, *, space: Space = "rgb", mask: Any = None, region: Region = "pixels") -> float:
    """-10 log10 of the mean squared error of images in [0, 1], in dB; infinite for equal images.

    prediction, target: (H, W, 3) or (H, W), see `as_image` for types and ranges. space: RGB (one mean over all three channels)
    or luma. mask: (H, W), true where it counts; with `region` = "pixels" the error is
    averaged over the region, with "frame" both images are blackened outside it and averaged over the whole frame, as the
    shadow-removal scripts do, which adds 10 log10(pixels of the frame / pixels of the region).
    Raises InputError for images that cannot be compared.
    """
    left, right = as_pair(prediction, target)
    error = (to_space(left, space) - to_space(right, space)) ** 2
    if mask is not None:
        kept = error[as_mask(mask, left.shape)]
        return decibel(float(kept.mean()) if region == "pixels" else float(kept.sum()) / error.size)
    return decibel(float(error.mean()))


def decibel(mean_squared_error: float) -> float:
    """PSNR in dB of a mean squared error on [0, 1]; infinite at zero."""
    return inf if mean_squared_error == 0 else -10 * log10(mean_squared_error)


def match_mean(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The prediction times (mean grey of the target / its own mean grey), clipped to [0, 1]; grey is BT.601 luma.

    Both (H, W, 3) or (H, W), float64 in [0, 1]. A black prediction has nothing to scale and comes back as it is.
    """
    weights = LUMA if prediction.ndim == 3 else np.ones(1)
    own, wanted = (float((image.reshape(-1, len(weights)) @ weights).mean()) for image in (prediction, target))
    return prediction if own == 0 else np.clip(prediction * (wanted / own), 0.0, 1.0)


def psnr_mean_matched(prediction: Any, target: Any, *, space: Space = "rgb") -> float:
    """PSNR in dB after `match_mean`: what is left once global exposure is given away ("GT-mean" in low-light papers).

    It looks at the target, so it is an upper bound and never a result on its own. Arguments and errors as in `psnr`.
    """
    left, right = as_pair(prediction, target)
    return psnr(match_mean(left, right), right, space=space)


Window = Literal["gaussian11", "uniform7", "volumetric"]

# Wang et al. 2004: C1 = (K1 L)^2, C2 = (K2 L)^2 with K1 = 0.01, K2 = 0.03 and L = 1 on [0, 1].
C1 = 0.01**2
C2 = 0.03**2
GAUSSIAN = gaussian_kernel(11, 1.5)
UNIFORM = np.full(7, 1 / 7)
BAND = 64  # rows per band

# Wang, Simoncelli and Bovik 2003: exponents of the five scales, finest first.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(
    prediction: Any, target: Any, *, space: Space = "rgb", window: Window = "gaussian11", mask: Any = None
) -> float:
    """Mean structural similarity (Wang et al. 2004, eq. 13) of two images, 1 for equal ones.

    prediction, target: (H, W, 3) or (H, W), see `as_image` for types and ranges.
    window `gaussian11`: 11x11 Gaussian, sigma 1.5, only where it fits; channels apart, then averaged (IR-SDE, BasicSR, pyiqa).
    window `uniform7`: 7x7 mean with sample covariance, only where it fits; scikit-image's default.
    window `volumetric`: one 11x11x11 Gaussian over rows, columns and channels, edges repeated; what MATLAB's ssim does with a colour
    array. mask: (H, W), true where it counts; both images are blackened outside it (the shadow-removal scripts' rule).
    Raises InputError for images that cannot be compared or are smaller than the window.
    """
    check_known("SSIM window", window, get_args(Window))
    left, right = as_pair(prediction, target)
    if mask is not None:
        inside = as_mask(mask, left.shape)
        inside = inside if left.ndim == 2 else inside[:, :, None]
        left, right = left * inside, right * inside
    left, right = (to_space(image, space) for image in (left, right))
    size = 7 if window == "uniform7" else 11
    if window != "volumetric" and min(left.shape[:2]) < size:
        raise InputError(f"SSIM with a {size}x{size} window needs a larger image than {size_text(left)}")
    return float(mean_similarity(left, right, window)[0].mean())


def mean_similarity(left: np.ndarray, right: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Means over the frame of the two maps of `similarity_maps`, per channel.

    The sliding windows are run in bands of rows: five times faster than whole frames, because a band stays in the processor's cache.
    """
    if window == "volumetric":
        similarity, contrast_structure = similarity_maps(left, right, window)
        return similarity.mean(axis=(0, 1)), contrast_structure.mean(axis=(0, 1))
    overlap = (7 if window == "uniform7" else 11) - 1
    rows = left.shape[0] - overlap
    sums = np.zeros((2, *left.shape[2:]))
    for top in range(0, rows, BAND):
        band = slice(top, min(top + BAND, rows) + overlap)
        maps = similarity_maps(left[band], right[band], window)
        sums += np.stack([values.sum(axis=(0, 1)) for values in maps])
    similarity, contrast_structure = sums / (rows * (left.shape[1] - overlap))
    return similarity, contrast_structure


def similarity_maps(left: np.ndarray, right: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """SSIM at every place and its contrast-structure factor (eqs. 13 and 9), of two images in [0, 1] of equal shape."""

    def local_mean(image: np.ndarray) -> np.ndarray:
        if window == "uniform7":
            return correlate_valid(image, UNIFORM)
        if window == "volumetric":
            return correlate_same(image, GAUSSIAN, tuple(range(image.ndim)))
        return correlate_valid(image, GAUSSIAN)

    mean_l, mean_r = local_mean(left), local_mean(right)
    unbiased = 49 / 48 if window == "uniform7" else 1.0
    both_means = mean_l * mean_r
    squares = mean_l**2 + mean_r**2
    covariance = unbiased * (local_mean(left * right) - both_means)
    variances = unbiased * (local_mean(left**2 + right**2) - squares)
    contrast_structure = (2 * covariance + C2) / (variances + C2)
    return (2 * both_means + C1) / (squares + C1) * contrast_structure, contrast_structure


def halve(image: np.ndarray) -> np.ndarray:
    """Mean of 2x2 blocks, (H, W[, C]) to (H // 2, W // 2[, C]); an odd last row or column is left out."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    image = image[:height, :width]
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def ms_ssim(prediction: Any, target: Any, *, space: Space = "rgb") -> float:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003, eq. 7) over five scales, channels apart then averaged.

    Between scales 2x2 blocks are averaged; at each scale the 11x11 Gaussian window of `ssim`. A negative factor counts as 0, since a
    fractional power of it has no value. Arguments as in `ssim`. Raises InputError for images under 176 pixels on a side.
    """
    left, right = as_pair(prediction, target)
    left, right = (to_space(image, space) for image in (left, right))
    smallest = len(GAUSSIAN) * 2 ** (len(SCALE_WEIGHTS) - 1)
    if min(left.shape[:2]) < smallest:
        raise InputError(f"MS-SSIM over five scales needs at least {smallest} pixels a side; got {size_text(left)}")
    product: np.ndarray = np.ones(())
    for scale, weight in enumerate(SCALE_WEIGHTS):
        similarity, contrast_structure = mean_similarity(left, right, "gaussian11")
        factor = similarity if scale == len(SCALE_WEIGHTS) - 1 else contrast_structure
        product = product * np.maximum(factor, 0.0) ** weight
        left, right = halve(left), halve(right)
    return float(product.mean())


def mae_lab(prediction: Any, target: Any, *, white: White = "D50", mask: Any = None) -> float:
    """Mean over pixels of |dL| + |da| + |db|: the sum of the three channels, not their mean. Papers print it as MAE or as "RMSE".

    prediction, target: (H, W, 3) or (H, W), see `as_image`. white: D50 is what the MATLAB scripts of ISTD use, D65 what
    scikit-image gives. mask: (H, W), true where it counts; the mean is over the pixels of the region.
    Raises InputError for images that cannot be compared or an empty region.
    """
    left, right = as_pair(prediction, target)
    difference = np.abs(rgb_to_lab(left, white) - rgb_to_lab(right, white)).sum(axis=2)
    return _mean_inside(difference, mask)


def ciede2000(prediction: Any, target: Any, *, white: White = "D65", mask: Any = None) -> float:
    """Mean CIEDE2000 difference of two sRGB images; about 1 is just noticeable. Arguments and errors as in `mae_lab`."""
    left, right = as_pair(prediction, target)
    return _mean_inside(delta_e2000(rgb_to_lab(left, white), rgb_to_lab(right, white)), mask)


def _mean_inside(values: np.ndarray, mask: Any) -> float:
    inside = np.ones(values.shape, dtype=bool) if mask is None else as_mask(mask, values.shape)
    return float(values[inside].mean())


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
