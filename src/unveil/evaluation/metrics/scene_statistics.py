"""Natural scene statistics of patches: the 36 numbers per patch on which the naturalness score is built.

Definition: Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer", IEEE SPL 2013.
"""

from __future__ import annotations

from functools import cache
from math import lgamma
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, size_text
from unveil.evaluation.colour import to_space
from unveil.evaluation.filters import correlate_same, gaussian_kernel
from unveil.evaluation.resize import imresize

PATCH = 96
FEATURES = 36
WINDOW = gaussian_kernel(7, 7 / 6)
# Steps (down, right) to the neighbours whose products are looked at: horizontal, vertical and both diagonals.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def normalise(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean-subtracted, contrast-normalised luminance (eq. 1) and the local deviation (eq. 3); grey: (H, W) in 0..255."""
    mean = correlate_same(grey, WINDOW)
    deviation = np.sqrt(np.abs(correlate_same(grey**2, WINDOW) - mean**2))
    return (grey - mean) / (deviation + 1.0), deviation


@cache
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    """Shapes alpha and their moment ratio rho(alpha) = G(2/alpha)^2 / (G(1/alpha) G(3/alpha)), increasing in alpha."""
    alpha = np.arange(0.2, 10.0005, 0.001)
    rho = np.array([np.exp(2 * lgamma(2 / a) - lgamma(1 / a) - lgamma(3 / a)) for a in alpha])
    return alpha, rho


def fit_asymmetric(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, left scale and right scale of an asymmetric generalised Gaussian by moments, per row of (N, P): three (N,).

    Lasmar, Stitou and Berthoumieu 2009; the shape is held to 0.2..10. A row without spread gives NaN.
    """

    def spread(one_side: np.ndarray) -> np.ndarray:
        count = np.maximum(one_side.sum(axis=1), 1)
        return np.sqrt((values**2 * one_side).sum(axis=1) / count)

    left, right = spread(values < 0), spread(values > 0)
    square = (values**2).mean(axis=1)
    known = (left > 0) & (right > 0)
    left, right, square = (np.where(known, x, np.nan) for x in (left, right, square))
    gamma = left / right
    ratio = np.abs(values).mean(axis=1) ** 2 / square
    ratio = ratio * (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    alpha_table, rho_table = _shape_table()
    alpha = np.where(known, np.interp(ratio, rho_table, alpha_table), np.nan)
    log_gamma = np.vectorize(lgamma, otypes=[float])
    scale = np.exp((log_gamma(1 / alpha) - log_gamma(3 / alpha)) / 2)
    return alpha, left * scale, right * scale


def _patches(field: np.ndarray, size: int) -> np.ndarray:
    """(H, W) cut into (N, size, size), row by row; what does not fill a patch is left out."""
    rows, columns = field.shape[0] // size, field.shape[1] // size
    cut = field[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return cut.transpose(0, 2, 1, 3).reshape(-1, size, size)


def _describe(patches: np.ndarray) -> np.ndarray:
    """The 18 features at one scale of normalised patches (N, size, size): (N, 18)."""
    count, size, _ = patches.shape
    alpha, left, right = fit_asymmetric(patches.reshape(count, -1))
    features = [alpha, (left + right) / 2]
    log_gamma = np.vectorize(lgamma, otypes=[float])
    for down, across in NEIGHBOURS:
        here = patches[:, : size - down, max(-across, 0) : size - max(across, 0)]
        there = patches[:, down:, max(across, 0) : size + min(across, 0)]
        alpha, left, right = fit_asymmetric((here * there).reshape(count, -1))
        mean = (right - left) * np.exp(log_gamma(2 / alpha) - log_gamma(1 / alpha))  # eq. 8
        features += [alpha, mean, left, right]
    return np.stack(features, axis=1)


def patch_features(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, 36) of the N patches of an image and their mean local deviation (N,), on a 0..255 scale.

    image: (H, W) or (H, W, 3), see `as_image`; luma is used. Patches are 96x96 at full and 48x48 at half resolution (MATLAB's bicubic).
    A flat patch has NaN features. Raises InputError for an image that does not hold one patch.
    """
    grey = to_space(as_image(image), "y_bt601_full") * 255.0
    if min(grey.shape) < PATCH:
        raise InputError(f"the naturalness score needs at least {PATCH}x{PATCH} pixels; got {size_text(grey)}")
    grey = grey[: grey.shape[0] // PATCH * PATCH, : grey.shape[1] // PATCH * PATCH]
    full, deviation = normalise(grey)
    half, _ = normalise(imresize(grey, scale=0.5))
    features = np.concatenate([_describe(_patches(full, PATCH)), _describe(_patches(half, PATCH // 2))], axis=1)
    return features, _patches(deviation, PATCH).mean(axis=(1, 2))
