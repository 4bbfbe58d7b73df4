"""What the metrics calculate with: float64 images in [0, 1], made from whatever the caller has, or an error that says why not."""

from __future__ import annotations

from typing import Any

import numpy as np

from unveil.errors import InputError

# Rounding in a float32 network may leave [0, 1] by this much; anything further is a range that the caller has to name.
RANGE_SLACK = 1e-6


def as_numpy(image: Any) -> np.ndarray:
    """A numpy array (any shape) from an array, a nested list or a torch tensor on any device."""
    if hasattr(image, "detach"):
        image = image.detach().cpu()
        if str(image.dtype) == "torch.bfloat16":  # numpy has no bfloat16
            image = image.float()
        image = image.numpy()
    return np.asarray(image)


def as_image(image: Any, *, name: str = "image", data_range: tuple[float, float] | None = None) -> np.ndarray:
    """An image as float64 in [0, 1], shape (H, W) or (H, W, 3).

    image: (H, W), (H, W, 1) or (H, W, 3); uint8 and uint16 are divided by 255 and 65535, bool becomes 0 and 1, floating
    point must lie in [0, 1] or in the `data_range` = (black, white) that the caller names.
    Raises InputError for other shapes and types, for NaN or infinity, and for values outside the range.
    """
    array = as_numpy(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        hint = "; move the channels last: x.permute(1, 2, 0)" if array.ndim == 3 and array.shape[0] in (1, 3) else ""
        raise InputError(f"{name} has shape {array.shape}; expected (H, W) or (H, W, 3){hint}")
    if array.size == 0:
        raise InputError(f"{name} has no pixels: shape {array.shape}")
    if data_range is None and array.dtype in (np.uint8, np.uint16, np.bool_):
        white = 1.0 if array.dtype == np.bool_ else float(np.iinfo(array.dtype).max)
        return array.astype(np.float64) / white
    if data_range is None and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} is {array.dtype}; give uint8, uint16 or floating point, or name its data_range")
    return _scaled(array.astype(np.float64), name, data_range or (0.0, 1.0))


def _scaled(array: np.ndarray, name: str, data_range: tuple[float, float]) -> np.ndarray:
    """(array - black) / (white - black), clipped by no more than RANGE_SLACK."""
    black, white = data_range
    if not white > black:
        raise InputError(f"data_range {data_range} is empty; give (black, white) with white above black")
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise InputError(f"{name} holds {bad} NaN or infinite values out of {array.size}; it cannot be scored")
    scaled = (array - black) / (white - black)
    if scaled.min() < -RANGE_SLACK or scaled.max() > 1 + RANGE_SLACK:
        raise InputError(
            f"{name} runs from {array.min():.6g} to {array.max():.6g}, outside [{black:g}, {white:g}]; "
            "clip it, or name its range with data_range=(black, white)"
        )
    return np.clip(scaled, 0.0, 1.0)


def as_pair(
    prediction: Any, target: Any, *, data_range: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two images of equal shape as float64 in [0, 1]; see `as_image`. Raises InputError if the shapes differ."""
    left = as_image(prediction, name="prediction", data_range=data_range)
    right = as_image(target, name="target", data_range=data_range)
    if left.shape != right.shape:
        raise InputError(
            f"prediction is {size_text(left)} and target is {size_text(right)}; "
            "sizes must agree: nothing is resized to make a number"
        )
    return left, right


def as_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A region as bool (H, W), true where it holds. Raises InputError if it is empty or of another size than `shape`."""
    array = as_numpy(mask)
    if array.ndim == 3:
        array = array.max(axis=2)
    if array.shape != tuple(shape[:2]):
        raise InputError(f"mask is {size_text(array)} and the images are {shape[1]}x{shape[0]}; sizes must agree")
    region = array != 0
    if not region.any():
        raise InputError("mask is empty: no pixel of the region is left to score")
    return region


def size_text(array: np.ndarray) -> str:
    """Size as people write it, width first: '600x400, 3 channels'."""
    channels = f", {array.shape[2]} channels" if array.ndim == 3 else ", grey"
    return f"{array.shape[1]}x{array.shape[0]}{channels}"


def crop_border(image: np.ndarray, border: int) -> np.ndarray:
    """The image (H, W[, 3]) without `border` pixels on each side. Raises InputError if nothing is left."""
    if border < 0:
        raise InputError(f"border {border} is negative")
    if border == 0:
        return image
    cropped = image[border:-border, border:-border]
    if cropped.size == 0:
        raise InputError(f"a border of {border} pixels leaves nothing of an image of {size_text(image)}")
    return cropped


def round_to(image: np.ndarray, rounding: str) -> np.ndarray:
    """An image in [0, 1] rounded to the levels of "8bit" or "16bit"; "none" returns it as it is."""
    if rounding == "none":
        return image
    white = {"8bit": 255.0, "16bit": 65535.0}[rounding]
    return np.rint(image * white) / white
