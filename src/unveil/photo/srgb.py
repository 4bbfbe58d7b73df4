"""sRGB (IEC 61966-2-1): its curve, its primaries, and matrices to the colour space in which profiles are stated."""

from __future__ import annotations

import numpy as np

# Chromaticities of the sRGB primaries (ITU-R BT.709) and of its white, D65.
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
D65 = (0.3127, 0.3290)
D50_XYZ = np.array([0.9642, 1.0, 0.8249])
# Cone responses of the Bradford adaptation, which ICC profiles use to state colours under D50.
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def encode(light: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB-encoded values."""
    light = np.asarray(light, np.float32)
    return np.where(
        light <= 0.0031308,
        light * np.float32(12.92),
        np.float32(1.055) * light ** np.float32(1 / 2.4) - np.float32(0.055),
    )


def decode(encoded: np.ndarray) -> np.ndarray:
    """sRGB-encoded values in [0, 1] to linear light."""
    encoded = np.asarray(encoded, np.float32)
    return np.where(
        encoded <= 0.04045,
        encoded / np.float32(12.92),
        ((encoded + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4),
    )


def rgb_to_xyz(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> np.ndarray:
    """(3, 3) from linear RGB to XYZ under D50, for primaries and white given as chromaticities (x, y)."""
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries]).T
    source = np.array([white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1]])
    cones = (BRADFORD @ D50_XYZ) / (BRADFORD @ source)
    return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ (xyz * np.linalg.solve(xyz, source))


SRGB_TO_XYZ = rgb_to_xyz(SRGB_PRIMARIES, D65)
