"""Bicubic resizing as MATLAB's imresize does it: the rule by which super-resolution pairs are made and compared.

Keys' kernel with a = -1/2 (Keys 1981, eq. 4), stretched by the reduction when shrinking (antialiasing), sample centres
aligned, borders mirrored with the edge repeated.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from unveil.errors import InputError


def _keys(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    inner, outer = 1 + x**2 * (1.5 * x - 2.5), 2 + x * (-4 + x * (2.5 - 0.5 * x))
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def weights(length: int, new_length: int) -> np.ndarray:
    """(new_length, length) matrix of one axis: row i holds the shares of the old samples in new sample i; rows sum to 1."""
    scale = new_length / length
    stretch = min(1.0, scale)
    centre = (np.arange(new_length)[:, None] + 0.5) / scale - 0.5
    reach = 2.0 / stretch
    taps = np.floor(centre - reach).astype(np.int64) + np.arange(ceil(2 * reach) + 2)[None, :]
    share = _keys((centre - taps) * stretch)
    share /= share.sum(axis=1, keepdims=True)
    mirrored = taps % (2 * length)
    mirrored = np.where(mirrored >= length, 2 * length - 1 - mirrored, mirrored)
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], mirrored), share)
    return matrix


def bicubic(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (*size, 3) uint8, computed in double precision, clipped and rounded once at the end.

    That is im2uint8(imresize(im2double(...))) in MATLAB's words. Shrinking
    comes first where one axis shrinks and the other grows. Raises InputError for an empty size.
    """
    if min(size) < 1:
        raise InputError(f"cannot resize to {size[1]} x {size[0]} pixels")
    out = pixels.astype(np.float64)
    for axis in sorted((0, 1), key=lambda a: size[a] / pixels.shape[a]):
        if out.shape[axis] != size[axis]:
            out = np.moveaxis(np.tensordot(weights(out.shape[axis], size[axis]), out, axes=(1, axis)), 0, axis)
    return np.floor(np.clip(out, 0, 255) + 0.5).astype(np.uint8)


def low_resolution(pixels: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(degraded, clean) for super-resolution by `scale`: clean cut to a multiple of it, degraded reduced and enlarged again.

    Both (H', W', 3) uint8 of equal size; the reduced image is rounded to 8 bits in between, as it would be on disk.
    Raises InputError for a scale below 2 or an image smaller than it.
    """
    if scale < 2:
        raise InputError(f"the scale of super-resolution must be 2 or more, got {scale}")
    h, w = pixels.shape[0] // scale * scale, pixels.shape[1] // scale * scale
    if min(h, w) == 0:
        raise InputError(f"an image of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be reduced {scale} times")
    clean = pixels[:h, :w]
    return bicubic(bicubic(clean, (h // scale, w // scale)), (h, w)), clean
