"""Profiles that are tables and not formulas, through Little CMS: of 16 bits in imagecodecs, of 8 in Pillow where that is not installed."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from unveil.util.extras import codecs

PERCEPTUAL = ImageCms.Intent.PERCEPTUAL
# Nodes along each side of the grid that stands for an RGB table.
NODES = 33


def _transform(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, modes: tuple[str, str]
) -> ImageCms.ImageCmsTransform:
    try:
        return ImageCms.buildTransform(source, target, *modes, renderingIntent=PERCEPTUAL)
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


def table_space(data: bytes, inks: bool) -> DeepSpace | GridSpace | InkSpace:
    """A profile with lookup tables, of RGB as scanners have or of CMYK inks. Raises ValueError where Little CMS cannot use it."""
    if codecs("CMS") is not None:
        return DeepSpace(data, inks)
    return InkSpace(data) if inks else GridSpace(data)


def _deep(samples: np.ndarray, profiles: tuple[bytes, bytes], spaces: tuple[str, str]) -> np.ndarray:
    """(N, C) float32 in [0, 1] from one profile to another, 16 bits between."""
    whole = np.rint(np.clip(samples, 0, 1) * np.float32(65535)).astype(np.uint16)[None]
    try:
        out = codecs("CMS").cms_transform(
            whole, *profiles, colorspace=spaces[0], outcolorspace=spaces[1], outdtype="u2", intent=int(PERCEPTUAL)
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"profile cannot be used ({error})") from None
    return out[0].astype(np.float32) / np.float32(65535)


class DeepSpace:
    """A profile with lookup tables through 16 bits, pixel by pixel. replaces: as of `InkSpace`."""

    def __init__(self, data: bytes, inks: bool) -> None:
        self.profile, self.srgb = data, _profiles(data)[1].tobytes()
        self.replaces, self.kind = inks, "cmyk" if inks else "rgb"
        self.from_srgb(
            self.to_srgb(np.zeros((1, len(self.kind)), np.float32))
        )  # fails now where it has one direction alone

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        return _deep(native, (self.profile, self.srgb), (self.kind, "rgb"))

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        return _deep(rgb, (self.srgb, self.profile), ("rgb", self.kind))


class GridSpace:
    """An RGB profile with lookup tables through 8 bits: a grid is filled once, and colours between its nodes are interpolated.

    8-bit answers would show as steps in a 16-bit picture if they were used pixel by pixel.
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
        return self._interpolate(self.there, native)

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
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
    """CMYK with a profile, through 8 bits.

    How much black stands for a colour is the profile's choice, so the old inks
    plus a change would be wrong: a changed pixel is separated anew.
    """

    replaces = True

    def __init__(self, data: bytes) -> None:
        profile, srgb = _profiles(data)
        self.there, self.back = _transform(profile, srgb, ("CMYK", "RGB")), _transform(srgb, profile, ("RGB", "CMYK"))

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        return _apply(self.there, "CMYK", np.rint(native * 255).astype(np.uint8)).astype(np.float32) / 255

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        return _apply(self.back, "RGB", np.rint(rgb * 255).astype(np.uint8)).astype(np.float32) / 255
