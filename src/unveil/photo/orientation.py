"""Turning a picture upright: the eight EXIF orientations (CIPA DC-008, section 4.6.4)."""

from __future__ import annotations

import numpy as np


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) as stored to the way it is meant to be seen; 5 to 8 swap height and width."""
    if orientation >= 5:
        # Stored rows are the seen columns.
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    turned = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return np.ascontiguousarray(turned)
