"""AVIF of more than eight bits: depth, white, colours, metadata; and what is said where it cannot be written."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.photo import heif, isobmff
from unveil.photo.record import from_array

imagecodecs = pytest.importorskip("imagecodecs")


def ramp(bits: int, channels: int) -> np.ndarray:
    values = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)
    return np.ascontiguousarray(np.repeat(np.broadcast_to(values, (32, 256))[..., None], channels, axis=2))


def written(found: photo.Photo, format: str | None = None, strip: bool = False) -> tuple[bytes, tuple[str, ...]]:
    out = io.BytesIO()
    notes = photo.write(found, found.pixels, out, format, strip)
    return out.getvalue(), notes


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [10, 12])
def test_ten_and_twelve_bits_are_written_as_they_came(channels: int, bits: int) -> None:
    """White is white, the fine steps are there, and neither alpha nor grey is lost."""
    samples = ramp(bits, channels)
    file = imagecodecs.avif_encode(samples[..., 0] if channels == 1 else samples, level=100, bitspersample=bits)
    found = photo.read(file)
    assert (found.depth, found.bits, found.grey, found.notes) == (16, bits, channels < 3, ())
    data, notes = written(found)
    again = photo.read(data)
    assert (again.depth, again.bits, again.grey, again.icc, notes) == (16, bits, channels < 3, None, ())
    assert np.abs(again.pixels - found.pixels).max() < 6 / 4095 + 1.5 / 1023
    assert len(np.unique(again.pixels)) > 230
    if channels in (2, 4):
        assert np.array_equal(again.alpha, found.alpha)


def test_sixteen_bits_become_ten_and_that_is_said() -> None:
    given = from_array(ramp(16, 3))
    data, notes = written(given, "AVIF")
    assert photo.read(data).bits == 10
    assert notes == ("16-bit samples became 10-bit: AVIF holds no more",)
    assert isobmff.contents(data).cicp == (1, 13), "sRGB is said by number"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_profile_and_metadata_go_into_the_boxes(make: SimpleNamespace, channels: int) -> None:
    """Read by Pillow's libavif, by imagecodecs' and by ours; the samples are those of the file without them."""
    profile, block = make.matrix_profile("p3"), make.exif(1).tobytes()[6:]
    bare = imagecodecs.avif_encode(make.random((24, 40, channels), np.uint16).squeeze() >> 6, bitspersample=10)
    whole = heif.with_metadata(bare, profile, block, make.xmp)
    with Image.open(io.BytesIO(whole)) as image:
        assert image.info["icc_profile"] == profile
        assert image.info["xmp"] == make.xmp
        assert image.getexif()[0x0110] == "Camera 5"
    assert np.array_equal(imagecodecs.avif_decode(whole), imagecodecs.avif_decode(bare))
    assert isobmff.contents(whole).others == ()
    found = photo.read(whole)
    assert (found.exif, found.xmp, found.bits) == (block, make.xmp, 10)
    assert heif.with_metadata(bare, None, None, None) == bare


def test_a_deep_avif_keeps_what_it_says_of_itself(make: SimpleNamespace) -> None:
    profile = make.matrix_profile("p3")
    deep = make.random((24, 40, 3), np.uint16) >> 6
    file = heif.with_metadata(
        imagecodecs.avif_encode(deep, level=100, bitspersample=10), profile, make.exif(1).tobytes()[6:], make.xmp
    )
    data, notes = written(photo.read(file))
    again = photo.read(data)
    assert (again.icc, again.bits, notes) == (profile, 10, ())
    assert again.exif is not None
    assert b"Camera 5" in again.exif
    assert b'title="Lake"' in (again.xmp or b"")
    stripped = photo.read(written(photo.read(file), strip=True)[0])
    assert (stripped.exif, stripped.xmp, stripped.icc) == (None, None, profile)


def test_colours_told_by_number_are_worked_through_and_come_back(make: SimpleNamespace) -> None:
    """A 10-bit file in Display P3 by nclx is written with the profile that says the same."""
    smooth = (make.smooth(32, 48).astype(np.uint16) * 257) >> 6
    file = imagecodecs.avif_encode(
        smooth, level=100, bitspersample=10, pixelformat="444", primaries=12, transfer=13, matrix=6
    )
    found = photo.read(file)
    assert found.space is not None
    again = photo.read(written(found)[0])
    assert (again.icc, again.bits) == (found.icc, 10)
    assert np.abs(again.pixels - found.pixels).max() < 3 / 255
    assert np.abs(again.pixels - smooth / 1023).max() > 10 / 255


def test_without_the_package_eight_bits_are_written_and_why_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    data, notes = written(from_array(ramp(16, 3)), "AVIF")
    assert photo.read(data).depth == 8
    assert notes == ("16-bit samples became 8-bit: more needs imagecodecs",)


def test_another_layout_than_the_encoders_is_refused() -> None:
    data = imagecodecs.avif_encode(ramp(10, 3), bitspersample=10)
    with pytest.raises(ValueError, match="boxes"):
        heif.with_metadata(data + b"\0\0\0\x08free", b"x" * 128, None, None)
