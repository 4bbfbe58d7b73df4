"""Camera raw, JPEG XL, JPEG 2000, GIF, PPM and PFM."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from unveil import photo
from unveil.errors import InputError


def written(found: photo.Photo, format: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    out = io.BytesIO()
    notes = photo.write(found, found.pixels, out, format)
    return out.getvalue(), notes


def dng(level: int, small: np.ndarray) -> bytes:
    """A DNG of a flat grey sensor, 64 x 48, 16 bits, with a thumbnail in directory 0 and the sensor data in a sub-directory."""
    sensor = np.full((48, 64), level, np.uint16)
    matrix = [n for value in np.eye(3).ravel() for n in (int(value), 1)]
    tags = [
        (50706, 1, 4, (1, 4, 0, 0), True), (50708, 2, 5, "Test\0", True), (50721, 10, 9, tuple(matrix), True),
        (50728, 5, 3, (1, 1) * 3, True), (271, 2, 5, "Test\0", True), (272, 2, 5, "Test\0", True), (50778, 3, 1, 21, True),
    ]  # fmt: skip
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1, metadata=None, extratags=tags)
        pattern = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
        pattern += [(50714, 3, 1, 0, True), (50717, 4, 1, 65535, True)]
        writer.write(sensor, photometric="cfa", metadata=None, extratags=pattern)
    return out.getvalue()


def test_raw_is_developed_and_keeps_its_brightness(make: SimpleNamespace) -> None:
    """A flat frame above three quarters of white is not white, one twice as bright is twice as bright; the thumbnail is never it."""
    pytest.importorskip("rawpy")
    light = {}
    for level in (13107, 26214, 52428):
        found = photo.read(dng(level, make.random((12, 16, 3))))
        assert (found.pixels.shape, found.format, found.depth) == ((48, 64, 3), "RAW", 16)
        middle = float(found.pixels[16:32, 16:48, 1].mean())
        light[level] = ((middle + 0.055) / 1.055) ** 2.4
    assert light[26214] == pytest.approx(2 * light[13107], rel=0.02)
    assert light[52428] == pytest.approx(4 * light[13107], rel=0.02)
    data, _ = written(found)
    assert photo.read(data).format == "TIFF", "a raw file is handed on as TIFF"


def test_raw_without_libraw_is_one_clear_line(make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(InputError, match=r"a camera raw file.*pip install .*\[raw\]'") as caught:
        photo.read(dng(1000, make.random((12, 16, 3))))
    assert "\n" not in str(caught.value)


def test_a_damaged_raw_file_is_refused(make: SimpleNamespace) -> None:
    pytest.importorskip("rawpy")
    with pytest.raises(InputError, match="camera raw"):
        photo.read(b"FUJIFILMCCD-RAW " + bytes(200))
    whole = dng(1000, make.random((12, 16, 3)))
    with pytest.raises(InputError):
        photo.read(whole[: len(whole) // 2])


@pytest.mark.parametrize("format", ["JXL", "JP2", "PNM", "GIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_come_back_exactly(make: SimpleNamespace, format: str, channels: int) -> None:
    if format == "JXL":
        pytest.importorskip("pillow_jxl")
    samples = make.smooth(24, 32, channels) // 64 * 64  # at most 64 colours, for GIF
    found = photo.read(make.pillow(samples, "PNG"))
    data, _ = written(found, format)
    again = photo.read(data)
    assert (again.format, again.depth) == (format, 8)
    assert again.grey == (channels == 1)
    np.testing.assert_array_equal(again.pixels, found.pixels)


@pytest.mark.parametrize("format", ["JP2", "PNM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_come_back_exactly(make: SimpleNamespace, format: str, channels: int) -> None:
    pytest.importorskip("imagecodecs")
    samples = make.random((24, 32, channels), np.uint16)
    data, _ = written(photo.read(make.png16(samples)), format)
    again = photo.read(data)
    assert again.depth == 16
    np.testing.assert_array_equal(np.rint(again.pixels[..., :channels] * 65535), samples)


def test_sixteen_bit_jpeg_xl_is_read(make: SimpleNamespace) -> None:
    imagecodecs, _ = pytest.importorskip("imagecodecs"), pytest.importorskip("pillow_jxl")
    samples = make.random((24, 32, 3), np.uint16)
    found = photo.read(imagecodecs.jpegxl_encode(samples, lossless=True))
    assert found.depth == 16
    np.testing.assert_array_equal(found.native if found.native is not None else np.rint(found.pixels * 65535), samples)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_jpeg_packed_whole_as_jpeg_xl_is_upright(make: SimpleNamespace, tmp_path: Path, orientation: int) -> None:
    """Such a file (cjxl makes one of every JPEG) gives the JPEG's samples as they lie, which its EXIF turns; what is written is upright."""
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    path = tmp_path / "phone.jpg"
    path.write_bytes(make.pillow(make.smooth(24, 32), "JPEG", quality=95, exif=exif.tobytes()))
    with Image.open(path) as image, pytest.warns(UserWarning, match="JPEG reconstruction"):
        image.save(tmp_path / "phone.jxl")
    found, jpeg = photo.read(tmp_path / "phone.jxl"), photo.read(path)
    assert (found.orientation, found.pixels.shape) == (orientation, (32, 24, 3) if orientation == 6 else (24, 32, 3))
    np.testing.assert_array_equal(found.pixels, jpeg.pixels)
    again = photo.read(written(found, "JPEG")[0])
    assert (again.orientation, again.pixels.shape) == (1, found.pixels.shape)
    assert np.abs(again.pixels - found.pixels).mean() < 2 / 255


@pytest.mark.parametrize("format", ["JXL", "JP2"])
def test_profiles_go_with_them(make: SimpleNamespace, format: str) -> None:
    if format == "JXL":
        pytest.importorskip("pillow_jxl")
    profile = make.matrix_profile("p3")
    found = photo.read(make.pillow(make.smooth(24, 32), "PNG", icc_profile=profile))
    again = photo.read(written(found, format)[0])
    assert np.abs(again.pixels - found.pixels).max() < 1.5 / 255


def test_a_pfm_is_upright_in_both_byte_orders(make: SimpleNamespace) -> None:
    """Rows go from the bottom up; a negative scale says little-endian."""
    rows = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    for order, scale in (("<", b"-1.0"), (">", b"1.0")):
        data = b"Pf\n3 4\n" + scale + b"\n" + rows[::-1].astype(f"{order}f4").tobytes()
        found = photo.read(data)
        assert (found.depth, found.grey) == (32, True)
        np.testing.assert_array_equal(found.native[..., 0], rows)
        np.testing.assert_array_equal(photo.read(written(found)[0]).native, found.native)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pfm_holds_floats_and_a_ppm_whole_numbers(make: SimpleNamespace, tmp_path: Path, channels: int) -> None:
    found = photo.read(make.pillow(make.random((8, 9, channels)), "PNG"))
    assert photo.write(found, found.pixels, tmp_path / "a.pfm") == ()
    assert (tmp_path / "a.pfm").read_bytes()[:2] == (b"PF" if channels == 3 else b"Pf")
    again = photo.read(tmp_path / "a.pfm")
    assert again.depth == 32
    np.testing.assert_allclose(again.pixels, found.pixels, atol=1e-7)
    notes = photo.write(again, again.pixels, tmp_path / "a.ppm")
    assert notes == ("32-bit samples became 16-bit: PNM holds no more",)
    assert (tmp_path / "a.ppm").read_bytes()[:2] == (b"P6" if channels == 3 else b"P5")
    np.testing.assert_allclose(photo.read(tmp_path / "a.ppm").pixels, found.pixels, atol=1e-5)
    assert written(again, "pfm")[0] == (tmp_path / "a.pfm").read_bytes()
    assert written(again)[0] == (tmp_path / "a.pfm").read_bytes()


def test_a_ppm_of_another_white(make: SimpleNamespace) -> None:
    data = b"P6 # a comment\n2 1\n1000\n" + struct.pack(">6H", 0, 500, 1000, 1000, 250, 0)
    assert photo.read(data).pixels[0, 0] == pytest.approx([0, 0.5, 1], abs=1e-4)
    with pytest.raises(InputError, match="cut short"):
        photo.read(data[:-1])
    assert photo.read(b"P3\n1 1\n255\n10 20 30\n").pixels[0, 0] * 255 == pytest.approx([10, 20, 30])


def test_many_colours_in_gif_are_said(make: SimpleNamespace) -> None:
    data, notes = written(photo.read(make.pillow(make.smooth(64, 64), "PNG")), "GIF")
    assert "256" in notes[0]
    assert Image.open(io.BytesIO(data)).format == "GIF"


def test_what_is_hidden_stays_so_in_gif(make: SimpleNamespace) -> None:
    samples = make.smooth(24, 32, 4) // 64 * 64  # at most 64 colours
    samples[..., 3] = np.where(np.arange(32) < 12, 0, 255)
    data, notes = written(photo.read(make.pillow(samples, "PNG")), "GIF")
    again = photo.read(data)
    np.testing.assert_array_equal(again.alpha, samples[..., 3])
    np.testing.assert_array_equal(np.rint(again.pixels * 255)[:, 12:], samples[:, 12:, :3])
    assert notes == ()
    samples[..., 3] = np.linspace(0, 255, 32)
    assert "nothing between" in written(photo.read(make.pillow(samples, "PNG")), "GIF")[1][-1]


@pytest.mark.parametrize("suffix", ["ppm", "pgm", "jpe", "dib", ".tiff", "j2k"])
def test_a_format_may_be_named_by_any_of_its_suffixes(make: SimpleNamespace, suffix: str) -> None:
    data, _ = written(photo.read(make.pillow(make.smooth(8, 8), "PNG")), suffix)
    assert photo.read(data).pixels.shape == (8, 8, 3)


@pytest.mark.shared
def test_the_raw_case(shared: Path) -> None:
    pytest.importorskip("rawpy")
    found = photo.read(shared / "cases" / "raw.dng")
    assert (found.pixels.shape, found.depth) == ((240, 320, 3), 16)


def test_a_name_that_says_another_format_is_noted(make: SimpleNamespace, tmp_path: Path) -> None:
    data = make.pillow(make.smooth(8, 12), "PNG")
    for name, notes in (
        ("a.JPEG", ("it is named .JPEG and is a PNG file; by that name it would be written as JPEG",)),
        ("a.png", ()),
        ("a.download", ()),
    ):
        (tmp_path / name).write_bytes(data)
        assert photo.read(tmp_path / name).notes == notes
    assert photo.read(data).notes == ()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_dib_is_a_bmp_without_a_file_header(make: SimpleNamespace, mode: str) -> None:
    image = Image.fromarray(make.smooth(9, 14)).convert(mode)
    out = io.BytesIO()
    image.save(out, "DIB")
    found = photo.read(out.getvalue())
    assert (found.format, found.width, found.height) == ("BMP", 14, 9)
    assert np.array_equal(found.pixels, np.asarray(image.convert("RGB"), np.float32) / 255)
    with pytest.raises(InputError, match="cannot be read"):
        photo.read(out.getvalue()[:60])
