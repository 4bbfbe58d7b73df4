"""Profiles that are tables and not formulas, through the Little CMS inside Pillow, which takes 8-bit pixels only."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

# Nodes along each side of the grid that stands for an RGB table.
NODES = 33


def _transform(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, modes: tuple[str, str]
) -> ImageCms.ImageCmsTransform:
    try:
        return ImageCms.buildTransform(source, target, *modes, renderingIntent=ImageCms.Intent.PERCEPTUAL)
    except (ImageCms.PyCMSError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"profile cannot be used ({error})") from None


def _apply(transform: ImageCms.ImageCmsTransform, mode: str, samples: np.ndarray) -> np.ndarray:
    image = Image.frombytes(mode, (len(samples), 1), np.ascontiguousarray(samples).tobytes())
    out = ImageCms.applyTransform(image, transform)
    if out is None:
        raise ValueError("profile cannot be applied")
    return np.asarray(out).reshape(len(samples), -1)


def _profiles(data: bytes) -> tuple[ImageCms.ImageCmsProfile, ImageCms.ImageCmsProfile]:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(data)), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise ValueError(f"profile cannot be opened ({error})") from None


class TableSpace:
    """An RGB profile with lookup tables, as scanners have. Little CMS fills a grid once; colours between its nodes are interpolated.

    Its 8-bit answers would show as steps in a 16-bit picture if they were used pixel by pixel.
    """

    replaces = False

    def __init__(self, data: bytes) -> None:
        profile, srgb = _profiles(data)
        axis = np.rint(np.linspace(0, 255, NODES)).astype(np.uint8)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
        self.nodes = axis.astype(np.float32) / 255
        self.there = _apply(_transform(profile, srgb, ("RGB", "RGB")), "RGB", grid).astype(np.float32) / 255
        self.back = _apply(_transform(srgb, profile, ("RGB", "RGB")), "RGB", grid).astype(np.float32) / 255

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        """See Space."""
        return self._interpolate(self.there, native)

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """See Space."""
        return self._interpolate(self.back, rgb)

    def _interpolate(self, table: np.ndarray, values: np.ndarray) -> np.ndarray:
        below = np.clip(np.searchsorted(self.nodes, values, side="right") - 1, 0, NODES - 2)
        part = (values - self.nodes[below]) / (self.nodes[below + 1] - self.nodes[below])
        first = below @ np.array([NODES * NODES, NODES, 1])
        out = np.zeros((len(values), 3), np.float32)
        for corner in range(8):
            bits = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
            weight = np.where(bits, part, 1 - part).prod(axis=1, keepdims=True)
            out += weight * table[first + bits @ np.array([NODES * NODES, NODES, 1])]
        return np.clip(out, 0, 1)


class InkSpace:
    """CMYK with a profile, 8 bits.

    How much black stands for a colour is the profile's choice, so the old inks
    plus a change would be wrong: a changed pixel is separated anew.
    """

    replaces = True

    def __init__(self, data: bytes) -> None:
        profile, srgb = _profiles(data)
        self.there, self.back = _transform(profile, srgb, ("CMYK", "RGB")), _transform(srgb, profile, ("RGB", "CMYK"))

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        """See Space."""
        return _apply(self.there, "CMYK", np.rint(native * 255).astype(np.uint8)).astype(np.float32) / 255

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """See Space."""
        return _apply(self.back, "RGB", np.rint(rgb * 255).astype(np.uint8)).astype(np.float32) / 255
