"""Image files to arrays: the size from the header alone, and the pixels as 8-bit RGB the right way up."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from unveil.errors import InputError
from unveil.util.quiet import quiet
from unveil.util.suffixes import TRAINING

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
# A PNG would have to be decoded to know its EXIF, and nobody writes an orientation there; Pillow turns TIFF by itself.
_ORIENTED = ("JPEG", "MPO", "WEBP")
# What Pillow's many readers raise for files they cannot make sense of.
_FAULTS = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class Unreadable(InputError):
    """A file that is not the image it should be. The message names it and what was wrong."""


def images_in(folder: Path) -> list[Path]:
    """Image files in a folder and below it, sorted by path. Raises InputError if the folder is missing or holds none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of photographs")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in TRAINING and not p.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: no images here (looked for {', '.join(TRAINING)})")
    return found


def size(path: Path) -> tuple[int, int]:
    """(height, width) as displayed, from the header. Raises Unreadable."""
    try:
        with quiet(), Image.open(path) as image:
            turned = image.format in _ORIENTED and image.getexif().get(_ORIENTATION, 1) in _TURNED
            width, height = image.size
    except _FAULTS as error:
        raise Unreadable(f"{path}: cannot be read as an image ({error})") from error
    return (width, height) if turned else (height, width)


def decode(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: EXIF orientation applied, alpha dropped, 16-bit grey reduced to 8. Raises Unreadable.

    Colour profiles are not converted: what a photograph's numbers say is what a network is trained on.
    """
    try:
        # From memory: an uncompressed TIFF that Pillow (12.3) maps from its path is read with the turned width, scrambled.
        with quiet(), Image.open(io.BytesIO(path.read_bytes())) as image:
            if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip instead of scale
                grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            upright = ImageOps.exif_transpose(image) if image.format in _ORIENTED else image
            return np.asarray(upright.convert("RGB"))
    except _FAULTS as error:
        raise Unreadable(f"{path}: cannot be read as an image ({error})") from error


def halved(pixels: np.ndarray) -> np.ndarray:
    """(H // 2, W // 2, 3) uint8: rounded means of 2x2 blocks; an odd last row or column is left out."""
    h, w = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    blocks = pixels[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).astype(np.uint16)
    return ((blocks.sum((1, 3)) + 2) // 4).astype(np.uint8)
