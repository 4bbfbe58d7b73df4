"""Reading the images that are to be scored: pixels as they are stored, and every silent change said aloud."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unveil.errors import InputError
from unveil.photo import Photo, read
from unveil.util.suffixes import SCORED


@dataclass(frozen=True)
class Picture:
    """pixels: (H, W, 3), uint8 or uint16 as stored, floats where the file has floats or colours other than sRGB.

    notes: what was done to get them there, empty for plain RGB.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def find_images(folder: Path) -> list[Path]:
    """Image files in a folder and its sub-folders, in sorted order; files and folders that begin with a dot are passed over.

    Raises InputError if the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SCORED and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def read_image(path: Path) -> Picture:
    """An image file as upright RGB. Raises InputError, naming the file, for what cannot be read."""
    photo = read(path)
    return Picture(_pixels(photo), _notes(photo))


def _pixels(photo: Photo) -> np.ndarray:
    """Whole numbers where the file holds sRGB in 8 or 16 bits; its own floats, NaN included, where it holds floats."""
    if photo.depth == 32:
        if photo.native is None:
            return photo.pixels
        return np.broadcast_to(photo.native, photo.pixels.shape)
    if photo.native is not None:
        return photo.pixels
    white = 2**photo.depth - 1
    return np.rint(photo.pixels * np.float32(white)).astype(np.uint8 if photo.depth == 8 else np.uint16)


def _notes(photo: Photo) -> tuple[str, ...]:
    notes = list(photo.notes)
    if photo.orientation != 1:
        notes.append("orientation applied")
    if photo.grey:
        notes.append("grey repeated")
    if photo.alpha is not None:
        notes.append("alpha ignored")
    if photo.space is not None:
        notes.append("colours converted to sRGB")
    return tuple(notes)
