"""Structural similarity in the three versions that published tables use, and its multi-scale form."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import (
    Space,
    as_mask,
    as_pair,
    correlate_same,
    correlate_valid,
    crop_border,
    gaussian_kernel,
    size_text,
    to_space,
)
from unveil.util.words import check_known

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
    prediction: Any,
    target: Any,
    *,
    space: Space = "rgb",
    window: Window = "gaussian11",
    border: int = 0,
    mask: Any = None,
    data_range: tuple[float, float] | None = None,
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
    left, right = as_pair(prediction, target, data_range=data_range)
    if mask is not None:
        inside = as_mask(mask, left.shape)
        inside = inside if left.ndim == 2 else inside[:, :, None]
        left, right = left * inside, right * inside
    left, right = (crop_border(to_space(image, space), border) for image in (left, right))
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


def ms_ssim(
    prediction: Any,
    target: Any,
    *,
    space: Space = "rgb",
    border: int = 0,
    data_range: tuple[float, float] | None = None,
) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003, eq. 7) over five scales, channels apart then averaged.

    Between scales 2x2 blocks are averaged; at each scale the 11x11 Gaussian window of `ssim`. A negative factor counts as 0, since a
    fractional power of it has no value. Arguments as in `ssim`. Raises InputError for images under 176 pixels on a side.
    """
    left, right = as_pair(prediction, target, data_range=data_range)
    left, right = (crop_border(to_space(image, space), border) for image in (left, right))
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
