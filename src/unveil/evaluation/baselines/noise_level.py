"""How noisy an image is, from the image alone."""

from __future__ import annotations

import numpy as np

# Low-pass taps of Daubechies' wavelet with two vanishing moments; the high-pass is their alternating mirror image.
_ROOT = np.sqrt(3.0)
_LOW = np.array([1 + _ROOT, 3 + _ROOT, 3 - _ROOT, 1 - _ROOT]) / (4 * np.sqrt(2.0))
_HIGH = _LOW[::-1] * np.array([1, -1, 1, -1])
# Median of |x| for a standard normal x.
_NORMAL_MEDIAN = 0.6744897501960817
# Coefficients of a flat image on [0, 1] are not exactly zero; they are below this.
_ROUNDING = 1e-12


def estimate_noise(image: np.ndarray) -> float:
    """Standard deviation of white Gaussian noise in an image (H, W, C) in [0, 1]; the mean over channels.

    Median of the finest diagonal wavelet coefficients that are not zero, over 0.6745 (Donoho and Johnstone 1994).
    """
    detail = image
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (3, 3)
        padded = np.moveaxis(np.pad(detail, pad, mode="symmetric"), axis, 0)
        length = (image.shape[axis] + 3) // 2
        taps = np.stack([_HIGH[k] * padded[1 + k : 1 + k + 2 * length : 2][:length] for k in range(4)])
        detail = np.moveaxis(taps.sum(axis=0), 0, axis)
    found = []
    for channel in range(detail.shape[-1]):
        size = np.abs(detail[..., channel])
        size = size[size > _ROUNDING]
        found.append(np.median(size) / _NORMAL_MEDIAN if size.size else 0.0)
    return float(np.mean(found))
