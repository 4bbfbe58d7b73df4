"""What the metrics calculate with: float64 images in [0, 1], their colour spaces, and filters of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from unveil.errors import InputError
from unveil.util.guided_filter import linear_law
from unveil.util.words import check_known

Space = Literal["rgb", "y_bt601_limited", "y_bt601_limited_8bit", "y_bt601_full", "y_bt601_full_8bit"]
White = Literal["D50", "D65"]

# ITU-R BT.601: luma of gamma-encoded R, G, B.
LUMA = np.array([0.299, 0.587, 0.114])
# The same luma squeezed into 16..235 of 255, as MATLAB's rgb2ycbcr and most super-resolution code have it.
LIMITED = np.array([65.481, 128.553, 24.966]) / 255.0
LIMITED_OFFSET = 16.0 / 255.0


def to_space(image: np.ndarray, space: Space) -> np.ndarray:
    """The image in [0, 1], (H, W, 3) or grey (H, W), in the colour space that a metric is taken in.

    `rgb` leaves it; the others give luma (H, W): `full` spans 0..1, `limited` 16/255..235/255 (so a PSNR on it is higher by
    1.32 dB); `_8bit` rounds luma to whole 1/255, as code that converts uint8 images does. Grey counts as R = G = B.
    """
    check_known("colour space", space, get_args(Space))
    if space == "rgb":
        return image
    rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    luma = rgb @ LIMITED + LIMITED_OFFSET if "limited" in space else rgb @ LUMA
    return np.rint(luma * 255.0) / 255.0 if space.endswith("8bit") else luma


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """Linear light from sRGB-encoded values in [0, 1] (IEC 61966-2-1)."""
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(image: np.ndarray) -> np.ndarray:
    """Inverse of `srgb_to_linear`; negative light is taken as none."""
    light = np.maximum(image, 0.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _xyz(x: float, y: float) -> np.ndarray:
    """Tristimulus values of chromaticity (x, y) at Y = 1."""
    return np.array([x / y, 1.0, (1 - x - y) / y])


# CIE whites: D65 from the chromaticity in IEC 61966-2-1, D50 as the ICC profile connection space writes it.
WHITES: dict[str, np.ndarray] = {"D65": _xyz(0.3127, 0.3290), "D50": np.array([0.9642, 1.0, 0.8249])}


def _rgb_to_xyz(white: White) -> np.ndarray:
    """(3, 3) matrix from linear sRGB to XYZ, adapted to `white` by Bradford's cone responses where that is not D65."""
    primaries = np.stack([_xyz(0.64, 0.33), _xyz(0.30, 0.60), _xyz(0.15, 0.06)], axis=1)
    matrix = primaries * np.linalg.solve(primaries, WHITES["D65"])
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    gain = (cone @ WHITES[white]) / (cone @ WHITES["D65"])
    return np.linalg.solve(cone, gain[:, None] * (cone @ matrix))


def rgb_to_lab(image: np.ndarray, white: White = "D65") -> np.ndarray:
    """CIE L*a*b* (H, W, 3) of an sRGB image in [0, 1], (H, W, 3) or grey (H, W); L in 0..100.

    `D65` is the white of sRGB itself (scikit-image, OpenCV). `D50` adapts to the white of ICC profiles, which is what MATLAB's
    makecform('srgb2lab') is documented to do and what the shadow-removal scripts use. The two differ by a few units in a and b.
    Raises InputError for an unknown white.
    """
    check_known("white", white, WHITES)
    rgb = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    ratio = srgb_to_linear(rgb) @ _rgb_to_xyz(white).T / WHITES[white]
    # CIE 15: cube root above (6/29)^3, its tangent below.
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def lab_to_rgb(lab: np.ndarray, white: White = "D65") -> np.ndarray:
    """sRGB (H, W, 3) of CIE Lab (H, W, 3), clipped to [0, 1]; inverse of `rgb_to_lab` inside the gamut."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    ratio = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = (ratio * WHITES[white]) @ np.linalg.inv(_rgb_to_xyz(white)).T
    return np.clip(linear_to_srgb(linear), 0.0, 1.0)


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
    a, b = linear_law(guide, image, partial(box_mean, radius=radius), epsilon)
    return a * guide + b


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


def as_pair(prediction: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two images of equal shape as float64 in [0, 1]; see `as_image`. Raises InputError if the shapes differ."""
    left = as_image(prediction, name="prediction")
    right = as_image(target, name="target")
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
    """Size as text, width first: '600x400, 3 channels'."""
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
