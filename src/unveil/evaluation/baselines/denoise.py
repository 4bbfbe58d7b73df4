"""Classical denoisers that estimate the noise themselves. Each takes and gives an image (H, W, 3), float64 in [0, 1]."""

from __future__ import annotations

import numpy as np

from unveil.errors import InputError
from unveil.photo.noise_level import noise_level


def non_local_means(
    image: np.ndarray, strength: float = 0.8, *, patch: int = 3, search_radius: int = 6, sigma: float | None = None
) -> np.ndarray:
    """Non-local means (Buades, Coll and Morel 2005), filtering parameter h `strength` times the noise's deviation.

    Every pixel becomes the mean of those within the search window, weighted by exp(-(d - 2 sigma^2)+ / h^2), d the mean squared
    difference of the patch x patch squares around both, patch odd, so that a picture that is turned and turned back is the same.
    sigma: standard deviation of the noise in units of [0, 1]; estimated by default. Calculated in float32. The defaults were the best of
    patches of 3, 4 and 5 and of strengths .6 to 1 on white noise; on camera noise they lose 0.3 dB to patches of 5 with strength 1.
    """
    sigma = noise_level(image).sigma if sigma is None else sigma
    if sigma == 0:
        return image
    height, width = image.shape[:2]
    reach = patch + 2 * search_radius
    planes = np.pad(image.transpose(2, 0, 1), ((0, 0), (reach, reach), (reach, reach)), mode="symmetric").astype(
        np.float32
    )

    def window(top: int, left: int, rows: int, columns: int) -> np.ndarray:
        """Pixels of the padded image from (top, left), counted from the image's own corner."""
        return planes[:, reach + top : reach + top + rows, reach + left : reach + left + columns]

    total = window(0, 0, height, width).copy()
    weights = np.ones((height, width), dtype=np.float32)
    before = patch // 2  # how far a patch reaches up and left of its pixel
    for down, across in _half_plane(search_radius):
        # Distances between p and p + shift for every p whose own, or whose partner's, sum needs them.
        first_row, first_column = -down, min(-across, 0)
        rows, columns = height + down, width + abs(across)
        corner = (first_row - before, first_column - before)
        extent = (rows + patch - 1, columns + patch - 1)
        here, there = window(*corner, *extent), window(corner[0] + down, corner[1] + across, *extent)
        distance = _patch_mean(((here - there) ** 2).sum(axis=0), patch) / 3
        weight = np.exp(np.maximum(distance - np.float32(2 * sigma**2), 0) * np.float32(-1 / (strength * sigma) ** 2))
        for sign in (1, -1):
            top = -first_row if sign == 1 else -down - first_row
            left = -first_column if sign == 1 else -across - first_column
            part = weight[top : top + height, left : left + width]
            total += part * window(sign * down, sign * across, height, width)
            weights += part
    return np.clip((total / weights).transpose(1, 2, 0).astype(np.float64), 0.0, 1.0)


def _half_plane(radius: int) -> list[tuple[int, int]]:
    """Shifts (down, right) up to `radius`, one of each pair of opposite ones, without (0, 0)."""
    below = [(down, across) for down in range(1, radius + 1) for across in range(-radius, radius + 1)]
    return [(0, across) for across in range(1, radius + 1)] + below


def _patch_mean(values: np.ndarray, size: int) -> np.ndarray:
    """Mean over size x size patches of (H, W) where they fit."""
    for axis in (0, 1):
        moved = np.moveaxis(values, axis, 0)
        length = moved.shape[0] - size + 1
        result = moved[:length].copy()
        for i in range(1, size):
            result += moved[i : i + length]
        values = np.moveaxis(result, 0, axis)
    return values / np.float32(size**2)


def total_variation(
    image: np.ndarray, strength: float = 1.2, *, weight: float | None = None, steps: int = 30
) -> np.ndarray:
    """Minimiser of |u - image|^2 / 2 + weight * total variation of u, channel by channel (Rudin, Osher and Fatemi 1992).

    weight: in units of [0, 1]; default `strength` times the estimated noise. Solved by Chambolle's projection (2004) in `steps` steps.
    """
    weight = strength * noise_level(image).sigma if weight is None else weight
    if weight == 0:
        return image
    dual = np.zeros((2, *image.shape))
    gradient = np.zeros_like(dual)
    result = image
    for _ in range(steps):
        gradient[0, :-1] = np.diff(result, axis=0)
        gradient[1, :, :-1] = np.diff(result, axis=1)
        norm = np.sqrt((gradient**2).sum(axis=0))
        dual = (dual - gradient / 4) / (1 + norm / (4 * weight))
        divergence = -dual.sum(axis=0)
        divergence[1:] += dual[0, :-1]
        divergence[:, 1:] += dual[1, :, :-1]
        result = image + divergence
    return np.clip(result, 0.0, 1.0)


def median(image: np.ndarray, size: int = 5) -> np.ndarray:
    """Median over size x size pixels of each channel, edges repeated. It has no noise level to choose."""
    radius = size // 2
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="edge").astype(np.float32)
    result = np.empty(image.shape)
    for top in range(0, image.shape[0], 32):  # 25 copies of a band at a time
        band = padded[top : top + 32 + 2 * radius]
        windows = np.lib.stride_tricks.sliding_window_view(band, (size, size), axis=(0, 1))
        result[top : top + 32] = np.median(windows.reshape(*windows.shape[:3], -1), axis=3)
    return result


def bilateral(image: np.ndarray, strength: float = 3.0, *, radius: int = 4, space_sigma: float = 3.0) -> np.ndarray:
    """Bilateral filter (Tomasi and Manduchi 1998); colour deviation `strength` times the estimated noise.

    Weights fall with the distance in pixels and with the sum of the absolute differences of the three channels.
    """
    colour_sigma = strength * noise_level(image).sigma
    if colour_sigma == 0:
        return image
    height, width = image.shape[:2]
    mode = "reflect" if min(height, width) > radius else "symmetric"
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode=mode).astype(np.float32)
    centre = padded[radius:-radius, radius:-radius]
    total, weights = np.zeros_like(centre), np.zeros((height, width, 1), dtype=np.float32)
    for down in range(-radius, radius + 1):
        for across in range(-radius, radius + 1):
            if down**2 + across**2 > radius**2:
                continue
            other = padded[radius + down : radius + down + height, radius + across : radius + across + width]
            distance = np.abs(other - centre).sum(axis=2, keepdims=True)
            nearness = -(down**2 + across**2) / (2 * space_sigma**2)
            weight = np.exp(np.float32(nearness) + distance**2 * np.float32(-0.5 / colour_sigma**2))
            total += weight * other
            weights += weight
    return np.clip((total / weights).astype(np.float64), 0.0, 1.0)


def bm3d(image: np.ndarray, sigma: float | None = None) -> np.ndarray:
    """BM3D for colour images (Dabov et al. 2007) with the estimated noise level, by the package `bm3d`.

    sigma: standard deviation in units of [0, 1], if known. Raises InputError if the package is not installed.
    """
    try:
        from bm3d import bm3d_rgb  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError(
            "the baseline 'bm3d' needs the package bm3d: pip install bm3d (its licence is non-commercial)"
        ) from error
    sigma = noise_level(image).sigma if sigma is None else sigma
    return image if sigma == 0 else np.clip(np.asarray(bm3d_rgb(image, sigma), dtype=np.float64), 0.0, 1.0)
