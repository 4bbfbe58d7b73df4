"""Small separable filters on float64 images, in numpy alone: what SSIM, MSCN and the guided filter are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    """Normalised Gaussian taps (size,), centred."""
    x = np.arange(size) - (size - 1) / 2
    taps = np.exp(-(x**2) / (2 * sigma**2))
    return taps / taps.sum()


def correlate_valid(image: np.ndarray, taps: np.ndarray, axes: Sequence[int] = (0, 1)) -> np.ndarray:
    """Correlation with the same taps along each of `axes`, keeping only where they fit: each axis loses len(taps) - 1."""
    for axis in axes:
        source = np.moveaxis(image, axis, 0)
        length = source.shape[0] - len(taps) + 1
        result = taps[0] * source[:length]
        for i in range(1, len(taps)):
            result += taps[i] * source[i : i + length]
        image = np.moveaxis(result, 0, axis)
    return image


def correlate_same(image: np.ndarray, taps: np.ndarray, axes: Sequence[int] = (0, 1)) -> np.ndarray:
    """As `correlate_valid` with the edge pixels repeated outwards, so that the size stays. The number of taps is odd."""
    radius = len(taps) // 2
    pad = [(radius, radius) if axis in axes else (0, 0) for axis in range(image.ndim)]
    return correlate_valid(np.pad(image, pad, mode="edge"), taps, axes)


def box_mean(image: np.ndarray, radius: int) -> np.ndarray:
    """Mean over the part of a (2 radius + 1) square that lies inside the image, for (H, W) or (H, W, C); running sums."""
    for axis in (0, 1):
        length = image.shape[axis]
        sums = np.concatenate([np.zeros_like(np.take(image, [0], axis)), np.cumsum(image, axis=axis)], axis=axis)
        first = np.maximum(np.arange(length) - radius, 0)
        last = np.minimum(np.arange(length) + radius + 1, length)
        count = (last - first).astype(np.float64)
        shape = [1] * image.ndim
        shape[axis] = length
        image = (np.take(sums, last, axis) - np.take(sums, first, axis)) / count.reshape(shape)
    return image


def min_filter(image: np.ndarray, radius: int) -> np.ndarray:
    """Minimum over the part of a (2 radius + 1) square inside the image (H, W)."""
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius, radius)
        padded = np.moveaxis(np.pad(image, pad, constant_values=np.inf), axis, 0)
        result = padded[: image.shape[axis]].copy()
        for i in range(1, 2 * radius + 1):
            np.minimum(result, padded[i : i + image.shape[axis]], out=result)
        image = np.moveaxis(result, 0, axis)
    return image


def max_filter(image: np.ndarray, radius: int) -> np.ndarray:
    """Maximum over the part of a (2 radius + 1) square inside the image (H, W)."""
    return -min_filter(-image, radius)


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """image (H, W) as a locally linear function of guide (H, W), both in [0, 1]; eqs. 5, 6 and 8.

    epsilon: variance of the guide below which it is smoothed over.
    """
    mean_g, mean_i = box_mean(guide, radius), box_mean(image, radius)
    covariance = box_mean(guide * image, radius) - mean_g * mean_i
    slope = covariance / (box_mean(guide**2, radius) - mean_g**2 + epsilon)
    return box_mean(slope, radius) * guide + box_mean(mean_i - slope * mean_g, radius)
