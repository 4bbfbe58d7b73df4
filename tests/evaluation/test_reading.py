from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from unveil.errors import InputError
from unveil.evaluation.reading import read_image


def test_eight_bit_colour_is_read_as_stored(save, photo: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    picture = read_image(save(photo, "a.png"))
    assert picture.pixels.dtype == np.uint8
    assert np.array_equal(picture.pixels, photo)
    assert picture.notes == ()


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, photo: np.ndarray) -> None:
    deep = photo.astype(np.uint16) * 257 + 3
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    picture = read_image(tmp_path / "a.tif")
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, deep)


def test_floats_are_handed_on_with_their_faults(tmp_path: Path) -> None:
    image = np.full((20, 20, 3), 0.5, np.float32)
    image[3, 3, 0] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    assert np.isnan(read_image(tmp_path / "a.tif").pixels[3, 3, 0])


def test_what_was_done_is_said(save, photo: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    grey = read_image(save(photo[..., 0], "grey.png"))
    assert grey.pixels.shape == photo.shape
    assert grey.notes == ("grey repeated",)
    alpha = np.dstack([photo, np.full(photo.shape[:2], 90, np.uint8)])
    picture = read_image(save(alpha, "alpha.png"))
    assert np.array_equal(picture.pixels, photo)
    assert picture.notes == ("alpha ignored",)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    with pytest.raises(InputError, match=r"broken\.png"):
        read_image(path)
