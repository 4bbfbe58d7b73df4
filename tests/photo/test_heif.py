"""HEIC as phones write it, through its plugin: colours, metadata, orientation, size."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.photo.header import probe

pytest.importorskip("pillow_heif")


def written(found: photo.Photo, **options: Any) -> bytes:
    out = io.BytesIO()
    photo.write(found, found.pixels, out, **options)
    return out.getvalue()


@pytest.mark.parametrize("source", ["JPEG", "HEIF"])
@pytest.mark.parametrize("target", ["JPEG", "HEIF", "TIFF"])
def test_metadata_and_profile_are_handed_on(make: SimpleNamespace, source: str, target: str) -> None:
    profile = make.matrix_profile("p3")
    given = make.pillow(make.smooth(64, 96), source, exif=make.exif(1), icc_profile=profile, xmp=make.xmp)
    found = photo.read(given)
    assert (found.format, found.orientation, found.grey, found.depth) == (source, 1, False, 8)
    again = photo.read(written(found, format=target))
    assert again.icc == profile
    assert again.xmp is not None
    assert b'title="Lake"' in again.xmp
    assert b'tiff:Orientation="6"' not in again.xmp
    block = Image.Exif()
    block.load(again.exif)
    assert block[0x0110] == "Camera 5"
    assert block.get_ifd(0x8825)[2] == (47.0, 22.0, 30.5)
    stripped = photo.read(written(found, format=target, strip=True))
    assert (stripped.exif, stripped.xmp, stripped.icc) == (None, None, profile)


def test_a_profile_is_worked_through(make: SimpleNamespace) -> None:
    """The same samples in Display P3 and in sRGB are different colours, as in every other format."""
    samples = make.smooth(64, 96)
    p3 = make.matrix_profile("p3")
    heif, jpeg = (
        photo.read(make.pillow(samples, f, icc_profile=p3, quality=95, subsampling="4:4:4")) for f in ("HEIF", "JPEG")
    )
    assert np.abs(heif.pixels - jpeg.pixels).mean() < 1.5 / 255
    plain = photo.read(make.pillow(samples, "HEIF", quality=95, subsampling="4:4:4"))
    assert np.abs(heif.pixels - plain.pixels).mean() > 4 / 255


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_picture_is_upright_and_says_so(make: SimpleNamespace, orientation: int) -> None:
    """Its own rotation is HEIF's, applied once; the EXIF tag beside it is for information and is reset."""
    from PIL import ImageOps

    samples = make.smooth(64, 96)
    jpeg = make.pillow(samples, "JPEG", exif=make.exif(orientation), quality=95)
    with Image.open(io.BytesIO(jpeg)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image)).astype(int)
    found = photo.read(make.pillow(samples, "HEIF", exif=make.exif(orientation).tobytes(), quality=95))
    assert found.pixels.shape == upright.shape
    assert np.abs(found.pixels * 255 - upright).mean() < 4
    again = photo.read(written(found))
    assert again.pixels.shape == found.pixels.shape
    assert np.abs(again.pixels - found.pixels).mean() < 2 / 255


def test_header_without_decoding(make: SimpleNamespace) -> None:
    header = probe("x", make.pillow(make.smooth(64, 96), "HEIF"), 10**9)
    assert (header.format, header.width, header.height, header.bits, header.grey) == ("HEIF", 96, 64, 8, False)
    assert probe("x", make.pillow(make.smooth(64, 96, 1), "HEIF"), 10**9).grey


@pytest.mark.parametrize(("mode", "bits"), [("L", 10), ("RGB", 10), ("RGBA", 10), ("RGB", 12)])
def test_ten_and_twelve_bits_keep_their_depth(make: SimpleNamespace, mode: str, bits: int) -> None:
    """White is white (1023 is not 65472 of 65535), and fine steps are there after writing."""
    heif = pytest.importorskip("pillow_heif")
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    ramp = np.linspace(0, 2**bits - 1, 256).round().astype(np.uint16)
    samples = np.repeat(np.broadcast_to(ramp, (16, 256))[..., None], channels, axis=2)
    out = io.BytesIO()
    heif.from_bytes(f"{mode};{bits}", (256, 16), samples.tobytes()).save(out, quality=-1)
    found = photo.read(out.getvalue())
    assert (found.depth, found.bits, found.notes) == (16, bits, ())
    assert found.pixels.max() == 1
    assert np.abs(found.pixels[8, :, 0] * (2**bits - 1) - ramp).max() <= 4
    again = photo.read(written(found))
    assert (again.depth, again.bits) == (16, bits)
    assert np.abs(again.pixels - found.pixels).mean() < 1 / 1023
    deep = photo.read(written(found, format="PNG"))
    assert np.array_equal(deep.pixels, found.pixels)
