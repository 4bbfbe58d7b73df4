"""Arrays that never were a file, as photographs."""

from __future__ import annotations

import numpy as np

from unveil.errors import InputError
from unveil.photo.record import Photo

_DEPTHS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}


def from_array(pixels: np.ndarray, name: str = "array") -> Photo:
    """A Photo from (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, or float in [0, 1], taken as sRGB; a fourth channel is alpha.

    Floats are kept at 8 bits when written. Raises InputError for other shapes or types, NaN, or floats outside [0, 1] (scale
    8-bit values by 255 first).
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise InputError(
            f"an image must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) and not empty, got {pixels.shape}"
        )
    depth = _DEPTHS.get(pixels.dtype, 8)
    if pixels.dtype in _DEPTHS:
        scaled = pixels.astype(np.float32) / np.float32(2**depth - 1)
    elif np.issubdtype(pixels.dtype, np.floating):
        scaled = pixels.astype(np.float32)
        if not np.isfinite(scaled).all():
            raise InputError("the image holds NaN or infinite values")
        if scaled.min() < 0 or scaled.max() > 1:
            raise InputError(
                f"a float image must lie in [0, 1], this one spans [{scaled.min():.3g}, {scaled.max():.3g}]; divide 8-bit values by 255"
            )
    else:
        raise InputError(f"an image must be uint8, uint16 or float, got {pixels.dtype}")
    grey = pixels.shape[2] == 1
    colour = np.ascontiguousarray(scaled[:, :, :1].repeat(3, axis=2) if grey else scaled[:, :, :3])
    alpha = None
    if pixels.shape[2] == 4:
        top = 2**depth - 1
        alpha = np.rint(scaled[:, :, 3] * top).astype(np.uint8 if depth == 8 else np.uint16)
    mode = "L" if grey else "RGBA" if alpha is not None else "RGB"
    return Photo(colour, alpha, grey, depth, "PNG", mode, name)
