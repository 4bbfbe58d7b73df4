"""Colour spaces of the metrics: luma of BT.601 in the two ranges that papers mix up, and CIE Lab under two whites."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from unveil.errors import InputError

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
    if space not in get_args(Space):
        raise InputError(f"unknown colour space {space!r}; known: {', '.join(get_args(Space))}")
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
    if white not in WHITES:
        raise InputError(f"unknown white {white!r}; known: {', '.join(WHITES)}")
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
