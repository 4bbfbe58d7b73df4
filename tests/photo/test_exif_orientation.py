from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps

from unveil import photo
from unveil.photo.exif import upright

HEIGHT, WIDTH = 6, 9


def reference(samples: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows, by Pillow's own transposition."""
    image = Image.fromarray(samples)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_a_viewer_shows(make: SimpleNamespace, orientation: int) -> None:
    samples = make.random((HEIGHT, WIDTH, 3))
    np.testing.assert_array_equal(upright(samples, orientation), reference(samples, orientation))


def stored(make: SimpleNamespace, format: str, orientation: int) -> tuple[bytes, np.ndarray]:
    """A file whose pixels are stored turned, and the samples that a viewer shows."""
    block = make.exif(orientation)
    if format == "PNG16":
        samples = make.random((HEIGHT, WIDTH, 3), np.uint16)
        return make.png16(samples, chunks=make.chunk(b"eXIf", block.tobytes()[6:])), upright(samples, orientation)
    if format == "TIFF16":
        samples = make.random((HEIGHT, WIDTH, 3), np.uint16)
        return make.tiff(samples, extratags=[(274, 3, 1, orientation, True)]), upright(samples, orientation)
    samples = make.random((HEIGHT, WIDTH, 3))
    lossless = {
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
        "JPEG": {"quality": 100, "subsampling": 0},
    }
    name, options = {"TIFF JPEG": ("TIFF", {"compression": "jpeg"})}.get(format, (format, lossless.get(format, {})))
    file = make.pillow(samples, name, exif=block, **options)
    with Image.open(io.BytesIO(file)) as image:
        return file, np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "PNG16", "TIFF", "TIFF JPEG", "TIFF16", "WEBP", "AVIF"])
def test_orientation_is_applied_once_and_reset(make: SimpleNamespace, format: str, orientation: int) -> None:
    file, shown = stored(make, format, orientation)
    first = photo.read(file)
    top = np.iinfo(shown.dtype).max
    np.testing.assert_array_equal(np.rint(first.pixels * np.float64(top)), shown)
    # Pillow turns a TIFF on loading; what it found is only known for the formats that we turn ourselves.
    assert first.orientation == (1 if format == "TIFF JPEG" else orientation)
    out = io.BytesIO()
    photo.write(first, first.pixels, out)
    with Image.open(io.BytesIO(out.getvalue())) as image:
        assert image.size == shown.shape[1::-1]
        assert image.getexif().get(0x0112, 1) == 1
        # What another program shows must be what was shown before: neither turned twice nor not at all.
        assert ImageOps.exif_transpose(image).size == shown.shape[1::-1]
    second = photo.read(out.getvalue())
    assert second.orientation == 1
    # JPEG and AVIF lose up to 14 of 255 in one more generation of pure noise; a wrong turn would be off by 85 on average.
    difference = np.abs(second.pixels - first.pixels)
    assert difference.mean() < (10 / 255 if format in ("JPEG", "AVIF") else 1e-9)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_meaningless_orientations_are_upright(make: SimpleNamespace, value: int) -> None:
    samples = make.random((HEIGHT, WIDTH, 3))
    found = photo.read(make.pillow(samples, "PNG", exif=make.exif(value)))
    np.testing.assert_array_equal(np.rint(found.pixels * 255), samples)
