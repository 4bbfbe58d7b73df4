"""Resizing rules by the name of the tool whose numbers they reproduce.

Most disagreement between published numbers on the same images begins here, so each rule is named after what it imitates and
none is a default. All take and give images in [0, 1], float64, (H, W) or (H, W, 3).
"""

from __future__ import annotations

from math import ceil
from typing import Literal, get_args

import numpy as np

from unveil.data.files import resize_matrix
from unveil.errors import InputError
from unveil.util.words import check_known

Rule = Literal["none", "matlab_bicubic", "pil_bicubic", "pil_bilinear", "pil_lanczos", "opencv_bilinear", "tao256"]
RULES: tuple[str, ...] = get_args(Rule)


def triangle(x: np.ndarray) -> np.ndarray:
    """Linear interpolation kernel, zero beyond 1."""
    return np.maximum(1 - np.abs(x), 0.0)


def _apply(image: np.ndarray, axis: int, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted sums of slices along `axis`; accumulated tap by tap so that no (new, taps, width) block is ever built."""
    source = np.moveaxis(image, axis, 0)
    shape = (-1,) + (1,) * (source.ndim - 1)
    result = weight[:, 0].reshape(shape) * source[index[:, 0]]
    for k in range(1, index.shape[1]):
        if weight[:, k].any():
            result += weight[:, k].reshape(shape) * source[index[:, k]]
    return np.moveaxis(result, 0, axis)


def imresize(image: np.ndarray, *, scale: float | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
    """MATLAB's imresize(image, ..., 'bicubic') with its default antialiasing, in float64 and unclipped.

    Give either `scale` (new size is the ceiling of scale times old) or `size` = (height, width).
    Checked against the Python port in the IR-SDE sources (golden/metrics_imresize); MATLAB itself was not run.
    """
    if (scale is None) == (size is None):
        raise InputError("give either scale or size")
    if scale is not None:
        if not scale > 0:
            raise InputError(f"scale {scale} must be above 0")
        size = (ceil(image.shape[0] * scale), ceil(image.shape[1] * scale))
        scales = (scale, scale)
    else:
        assert size is not None
        scales = (size[0] / image.shape[0], size[1] / image.shape[1])
    for axis in sorted((0, 1), key=lambda a: scales[a]):  # MATLAB shrinks first, to have less to do
        matrix = resize_matrix(image.shape[axis], size[axis], scales[axis])
        image = _apply(image, axis, *matrix)
    return image


def opencv_bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """OpenCV's default cv2.resize: bilinear between the four nearest pixels, no antialiasing, edges held."""
    for axis in (0, 1):
        matrix = resize_matrix(
            image.shape[axis], size[axis], size[axis] / image.shape[axis], triangle, 1.0, antialias=False, mirror=False
        )
        image = _apply(image, axis, *matrix)
    return image


def pillow(image: np.ndarray, size: tuple[int, int], filter_name: str) -> np.ndarray:
    """Pillow's resize of an 8-bit picture (always antialiased), bit for bit; other images are rounded to 8 bits first.

    On 8 bits Pillow rounds and clips between its two passes, up to 6 levels from the same filter in floating point.
    """
    from PIL import Image

    method = getattr(Image.Resampling, filter_name.upper())
    made = Image.fromarray(np.rint(image * 255).clip(0, 255).astype(np.uint8)).resize((size[1], size[0]), method)
    return np.asarray(made, dtype=np.float64) / 255


def centre_square(image: np.ndarray) -> np.ndarray:
    """The central square of an image, as wide as its shorter side."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: np.ndarray, rule: Rule, size: tuple[int, int] | None) -> np.ndarray:
    """The image brought to `size` = (height, width) by a named rule, clipped to [0, 1]; `none` returns it as it is.

    An image that already has the size is returned untouched by every rule. `tao256` cuts the central square first and then
    shrinks with Pillow's bicubic; the photographs published for that protocol come already cut, so its filter rarely acts.
    Raises InputError for an unknown rule, or a rule without a size.
    """
    check_known("resize rule", rule, RULES)
    if rule == "none":
        return image
    if size is None:
        raise InputError(f"resize rule {rule!r} needs a size (height, width)")
    if image.shape[:2] == tuple(size):
        return image
    if rule == "matlab_bicubic":
        return np.clip(imresize(image, size=size), 0.0, 1.0)
    if rule == "opencv_bilinear":
        return opencv_bilinear(image, size)
    if rule == "tao256":
        return pillow(centre_square(image), size, "bicubic")
    return pillow(image, size, rule.removeprefix("pil_"))
