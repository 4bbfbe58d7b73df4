from __future__ import annotations

import io
import os
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.errors import InputError
from unveil.photo.header import probe

HUGE = 60_000


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def huge(make: SimpleNamespace, format: str) -> bytes:
    """A few hundred bytes whose header promises 3.6 billion pixels."""
    if format == "PNG":
        header = struct.pack(">IIBBBBB", HUGE, HUGE, 16, 2, 0, 0, 0)
        body = make.chunk(b"IDAT", zlib.compress(bytes(1000))) + make.chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + make.chunk(b"IHDR", header) + body
    if format == "JPEG":
        file = bytearray(make.pillow(make.smooth(8, 8), "JPEG"))
        struct.pack_into(">HH", file, file.index(b"\xff\xc0") + 5, HUGE, HUGE)
        return bytes(file)
    if format == "TIFF":
        tags = ((256, HUGE), (257, HUGE), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, HUGE), (279, 1000))
        records = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        return b"II*\0" + struct.pack("<IH", 8, len(tags)) + records + bytes(1200)
    if format == "BMP":
        return (
            b"BM"
            + struct.pack("<IHHI", 1000, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, HUGE, -HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
            + bytes(946)
        )
    if format == "WEBP":
        extended = struct.pack("<I", 0) + (HUGE - 1).to_bytes(3, "little") * 2
        return b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + extended
    size = box(b"ispe", bytes(4), struct.pack(">II", HUGE, HUGE))
    brand = b"avif" if format == "AVIF" else b"heic"
    return box(b"ftyp", brand, bytes(4), brand) + box(b"meta", bytes(4), box(b"iprp", box(b"ipco", size)))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF", "HEIF"])
def test_bombs_are_refused_from_their_header(make: SimpleNamespace, format: str) -> None:
    file = huge(make, format)
    tracemalloc.start()
    try:
        with pytest.raises(
            InputError, match=r"3600 million pixels, over the limit of 200 million.*--max-pixels 3600000000"
        ):
            photo.read(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20  # the picture would need ten gigabytes


def test_the_limit_is_the_callers(make: SimpleNamespace) -> None:
    file = make.pillow(make.random((30, 40, 3)), "PNG")
    assert photo.read(file, max_pixels=1200).pixels.shape == (30, 40, 3)
    with pytest.raises(InputError, match="over the limit"):
        photo.read(file, max_pixels=1199)


def test_pillows_own_limit_neither_hinders_nor_moves(make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"):
        found = photo.read(make.pillow(make.smooth(30, 40), format))
        photo.write(found, found.pixels, io.BytesIO())
        assert Image.MAX_IMAGE_PIXELS == 100


def test_absurd_sides_are_refused() -> None:
    header = struct.pack(">IIBBBBB", 400_000, 2, 16, 2, 0, 0, 0)
    with pytest.raises(InputError, match="side over 300000"):
        probe("strip.png", b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(4), 10**9)


def empty_file(folder: Path) -> Path:
    (folder / "empty.jpg").touch()
    return folder / "empty.jpg"


def text_file(folder: Path) -> Path:
    (folder / "notes.jpg").write_text("these are notes and no photograph")
    return folder / "notes.jpg"


def page_file(folder: Path) -> Path:
    (folder / "page.png").write_text("<!DOCTYPE html><p>404")
    return folder / "page.png"


def psd_file(folder: Path) -> Path:
    (folder / "layers.psd").write_bytes(b"8BPS\0\1" + bytes(50))
    return folder / "layers.psd"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "none.jpg", r"none\.jpg: no such file"),
    "folder": (lambda folder: folder, "is a folder"),
    "empty": (empty_file, r"empty \(0 bytes\)"),
    "text": (text_file, "is not an image; give a JPEG"),
    "web page": (page_file, "is a web page"),
    "photoshop": (psd_file, "is a Photoshop document"),
    "pipe": (pipe, "device or pipe"),
    "below a file": (lambda folder: text_file(folder) / "x.jpg", "cannot be opened"),
    "zero byte in the name": (lambda folder: Path(f"{folder}/a\0b.jpg"), "cannot be opened"),
    "long name": (lambda folder: folder / ("x" * 5000), "cannot be opened"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_photograph(tmp_path: Path, kind: str) -> None:
    build, message = WRONG[kind]
    path = build(tmp_path)
    for source in (path, str(path)):
        with pytest.raises(InputError, match=message) as caught:
            photo.read(source)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, make: SimpleNamespace) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(make.pillow(make.random((4, 4, 3)), "PNG"))
    path.chmod(0)
    with pytest.raises(InputError, match=r"locked\.png: cannot be read"):
        photo.read(path)


@pytest.mark.parametrize("source", [None, 7, ["a.jpg"]])
def test_sources_of_a_wrong_kind(source: object) -> None:
    with pytest.raises(InputError, match="a path, bytes or a binary stream"):
        photo.read(source)  # type: ignore[arg-type]


def test_streams(make: SimpleNamespace, tmp_path: Path) -> None:
    file = make.pillow(make.random((4, 5, 3)), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(file)
    with path.open("rb") as stream:
        assert photo.read(stream).source == str(path)
    assert photo.read(io.BytesIO(file)).source == "<stream>"
    with pytest.raises(InputError, match="open it in binary mode"):
        photo.read(io.StringIO("text"))  # type: ignore[arg-type]
    closed = io.BytesIO(file)
    closed.close()
    with pytest.raises(InputError, match="cannot be read"):
        photo.read(closed)


def test_an_endless_stream_is_not_followed(make: SimpleNamespace) -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            Endless.asked = size
            return bytes(min(size, 1000))

    with pytest.raises(InputError):
        photo.read(Endless(), max_pixels=1000)  # type: ignore[arg-type]
    assert 0 < Endless.asked < 1 << 30


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "HEIF"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.95])
def test_files_cut_short(make: SimpleNamespace, format: str, part: float) -> None:
    file = make.pillow(make.random((40, 50, 3)), format)
    with pytest.raises(InputError):
        photo.read(file[: int(len(file) * part)])


def test_cut_16_bit_png(make: SimpleNamespace) -> None:
    file = make.png16(make.random((12, 12, 3), np.uint16))
    for length in range(8, len(file) - 1, 7):
        with pytest.raises(InputError):
            photo.read(file[:length])


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (5, 4, 3), (4, 4, 1)])
def test_new_pixels_of_another_shape(make: SimpleNamespace, shape: tuple[int, ...]) -> None:
    found = photo.read(make.pillow(make.random((4, 4, 3)), "PNG"))
    with pytest.raises(InputError, match="have shape"):
        photo.write(found, np.zeros(shape, np.float32), io.BytesIO())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_new_pixels_that_are_not_finite(make: SimpleNamespace, value: float, tmp_path: Path) -> None:
    found = photo.read(make.pillow(make.random((4, 4, 3)), "PNG"))
    pixels = found.pixels.copy()
    pixels[1, 2, 0] = value
    with pytest.raises(InputError, match="1 new samples are not finite; nothing was written"):
        photo.write(found, pixels, tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


def test_new_pixels_out_of_range_are_clipped(make: SimpleNamespace) -> None:
    found = photo.read(make.pillow(make.random((4, 4, 3)), "PNG"))
    photo.write(found, found.pixels * 9 - 4, out := io.BytesIO())
    np.testing.assert_array_equal(
        photo.read(out.getvalue()).pixels,
        np.clip(np.rint(np.clip(found.pixels * 9 - 4, 0, 1) * 255), 0, 255) / np.float32(255),
    )


def test_unknown_formats_and_suffixes(make: SimpleNamespace, tmp_path: Path) -> None:
    found = photo.read(make.pillow(make.random((4, 4, 3)), "PNG"))
    with pytest.raises(InputError, match="unknown format 'psd'"):
        photo.write(found, found.pixels, io.BytesIO(), "psd")
    with pytest.raises(InputError, match="unknown format 3;"):
        photo.write(found, found.pixels, io.BytesIO(), 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no format is known for this suffix"):
        photo.write(found, found.pixels, tmp_path / "out.xyz")
    with pytest.raises(InputError, match=r"raw files come from cameras and are not written; use \.tif"):
        photo.write(found, found.pixels, tmp_path / "out.DNG")
    photo.write(found, found.pixels, tmp_path / "without")
    photo.write(found, found.pixels, tmp_path / "OUT.JPG")
    photo.write(found, found.pixels, io.BytesIO(), "jpg")
    assert photo.read(tmp_path / "without").format == "PNG"
    assert photo.read(tmp_path / "OUT.JPG").format == "JPEG"


def test_heic_without_its_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    size = box(b"ispe", bytes(4), struct.pack(">II", 4, 4))
    with pytest.raises(InputError, match=r"pip install .*\[heic\]"):
        photo.read(box(b"ftyp", b"heic", bytes(4), b"mif1") + box(b"meta", bytes(4), box(b"iprp", box(b"ipco", size))))
