from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from unveil import photo
from unveil.errors import InputError
from unveil.photo import jpeg
from unveil.photo.writing import write_back


def opened(file: bytes) -> JpegImagePlugin.JpegImageFile:
    image = Image.open(io.BytesIO(file))
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    return image


def rewritten(file: bytes) -> bytes:
    found = photo.read(file)
    out = io.BytesIO()
    photo.write(found, np.clip(found.pixels + 0.02, 0, 1), out)
    return out.getvalue()


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 95, 98, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_quality_and_subsampling_are_at_least_the_sources(
    make: SimpleNamespace, quality: int, subsampling: int
) -> None:
    file = make.pillow(make.smooth(40, 48), "JPEG", quality=quality, subsampling=subsampling)
    before, after = opened(file), opened(rewritten(file))
    assert JpegImagePlugin.get_sampling(after) == subsampling
    for component, layer in enumerate(before.layer):
        coarse = np.array(before.quantization[layer[3]])
        fine = np.array(after.quantization[after.layer[component][3]])
        assert (fine <= coarse).all()
        if quality >= 90:  # a good source keeps its own
            np.testing.assert_array_equal(fine, coarse)
        else:  # a poor one would damage the restoration again
            best = opened(make.pillow(make.smooth(8, 8), "JPEG", quality=95))
            assert (fine <= np.array(best.quantization[best.layer[component][3]])).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_progressive_stays_progressive(make: SimpleNamespace, progressive: bool) -> None:
    file = make.pillow(make.smooth(40, 50), "JPEG", quality=97, progressive=progressive)
    assert photo.read(file).jpeg == photo.read(rewritten(file)).jpeg
    assert bool(opened(rewritten(file)).info.get("progressive")) == progressive


def test_the_largest_progressive_files_are_written_too(make: SimpleNamespace) -> None:
    """Noise at full quality takes three bytes per pixel; Pillow's buffer for progressive files holds two."""
    file = make.pillow(make.random((200, 300, 3)), "JPEG", quality=100, subsampling=0)
    found = photo.read(file)
    assert found.jpeg is not None
    progressive = replace(found, jpeg=replace(found.jpeg, progressive=True))
    photo.write(progressive, found.pixels, out := io.BytesIO())
    assert photo.read(out.getvalue()).jpeg == found.jpeg


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_quality_of_grey_and_cmyk(make: SimpleNamespace, mode: str) -> None:
    file = make.pillow(make.smooth(40, 48, 1 if mode == "L" else 4), "JPEG", mode, quality=97)
    settings = photo.read(file).jpeg
    assert settings is not None
    assert photo.read(rewritten(file)).jpeg == settings
    assert settings.subsampling == -1


def test_unusual_subsampling_is_not_made_worse(make: SimpleNamespace) -> None:
    """4:4:0, as lossless rotation leaves it: chroma halved vertically. Written in full."""
    file = bytearray(make.pillow(make.smooth(32, 32), "JPEG", subsampling=1))
    start = file.index(b"\xff\xc0")
    assert file[start + 11] == 0x21
    file[start + 11] = 0x12
    found = photo.read(bytes(file))
    assert found.jpeg is not None
    assert found.jpeg.subsampling == -1
    photo.write(found, found.pixels, out := io.BytesIO())
    assert JpegImagePlugin.get_sampling(opened(out.getvalue())) == 0


def test_metadata_of_every_kind_together(make: SimpleNamespace) -> None:
    profile = make.matrix_profile("p3") + bytes(200_000)  # longer than three segments
    file = make.pillow(
        make.smooth(16, 16), "JPEG", exif=make.exif(3), xmp=make.xmp, icc_profile=profile, comment=b"c" * 60_000
    )
    found = photo.read(file)
    again = photo.read(rewritten(file))
    assert (again.icc, again.extra) == (found.icc, found.extra)
    assert found.icc == profile
    assert again.exif is not None
    assert again.xmp is not None


def test_frame_is_found_past_padding_and_tables(make: SimpleNamespace) -> None:
    file = make.pillow(make.smooth(12, 34), "JPEG", exif=make.exif(1))
    assert jpeg.frame(file) == (34, 12, 8)
    assert jpeg.frame(file[:2] + b"\xff\xff\xff" + file[2:]) == (34, 12, 8)
    assert photo.read(file[:2] + b"\xff\xff\xff" + file[2:]).pixels.shape == (12, 34, 3)


def test_too_many_scans_are_refused(make: SimpleNamespace) -> None:
    file = make.pillow(make.smooth(16, 16), "JPEG", progressive=True)
    with pytest.raises(InputError, match="scans"):
        photo.read(file[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0" * 600 + file[-2:])


def test_twelve_bits_are_refused_with_the_reason(make: SimpleNamespace) -> None:
    file = bytearray(make.pillow(make.smooth(16, 16), "JPEG"))
    file[file.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(InputError, match="12-bit"):
        photo.read(bytes(file))


def test_further_pictures_are_noted(make: SimpleNamespace) -> None:
    """A phone's second picture (MPF) is not carried over; the main one is read and the loss is said."""
    out = io.BytesIO()
    first, second = (Image.fromarray(make.smooth(16, 16)) for _ in range(2))
    first.save(out, "MPO", save_all=True, append_images=[second])
    found = photo.read(out.getvalue())
    assert found.format == "JPEG"
    assert found.notes == ()
    assert "left out" in found.left_out[0]
    assert photo.write(found, found.pixels, io.BytesIO()) == found.left_out
    # A file that is handed on holds it still, but not without its metadata.
    assert write_back(found, found.pixels, whole := io.BytesIO()) == ()
    assert whole.getvalue() == out.getvalue()
    assert write_back(found, found.pixels, io.BytesIO(), strip=True) == found.left_out
    assert write_back(found, 1 - found.pixels, io.BytesIO()) == found.left_out
    assert found.pixels.shape == (16, 16, 3)


def test_sides_too_long_for_the_format(make: SimpleNamespace) -> None:
    found = photo.read(make.pillow(np.zeros((1, 70_000, 1), np.uint8), "PNG"))
    with pytest.raises(InputError, match="at most 65535"):
        photo.write(found, found.pixels, io.BytesIO(), "JPEG")
    with pytest.raises(InputError, match="at most 16383"):
        photo.write(found, found.pixels, io.BytesIO(), "WEBP")
