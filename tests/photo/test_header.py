from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.photo.header import probe, sniff

LIMIT = 10**9


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (200, 17), (17, 300)])
@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("BMP", {}),
        ("WEBP", {"exif": b"II*\0\x08\0\0\0\0\0\0\0\0\0"}), ("WEBP", {"lossless": True, "xmp": b"<x/>"}), ("AVIF", {}),
    ],
    ids=str,
)  # fmt: skip
def test_sizes_are_read_without_decoding(
    make: SimpleNamespace, size: tuple[int, int], format: str, options: dict
) -> None:
    file = make.pillow(make.smooth(*size), format, **options)
    header = probe("x", file, LIMIT)
    assert (header.format, header.height, header.width, header.bits) == (format, *size, 8)
    assert header.lossless == (format in ("PNG", "TIFF", "BMP") or "lossless" in options)


@pytest.mark.parametrize("bits", [8, 16])
def test_depth_is_read_from_the_header(make: SimpleNamespace, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    assert probe("x", make.tiff(make.random((3, 3, 3), dtype)), LIMIT).bits == bits
    assert probe("x", make.tiff(make.random((3, 3, 3), dtype), byteorder=">", bigtiff=True), LIMIT).bits == bits
    assert (
        probe(
            "x",
            make.pillow(make.random((3, 3, 3)), "PNG") if bits == 8 else make.png16(make.random((3, 3, 3), dtype)),
            LIMIT,
        ).bits
        == bits
    )


def test_avif_with_ten_bits_is_read_and_said(make: SimpleNamespace) -> None:
    """Pillow writes eight bits only, so the property boxes of an eight-bit file are made to say ten: reading notes it."""
    file = make.pillow(make.smooth(16, 16), "AVIF", quality=90, subsampling="4:4:4")
    start = file.index(b"av1C") + 4
    header = probe("x", file[: start + 2] + bytes([file[start + 2] | 0x40]) + file[start + 3 :], LIMIT)
    assert header.bits == 10
    assert photo.read(file).notes == ()


@pytest.mark.parametrize("grey", [True, False])
def test_avif_tells_grey(make: SimpleNamespace, grey: bool) -> None:
    for channels in (3, 4):
        samples = make.smooth(16, 16, 1).repeat(channels, axis=2)
        file = make.pillow(samples, "AVIF", subsampling="4:0:0" if grey else "4:4:4")
        assert probe("x", file, LIMIT).grey == grey
        assert photo.read(file).grey == grey


def test_the_suffix_does_not_matter(make: SimpleNamespace, tmp_path: object) -> None:
    path = tmp_path / "picture.jpg"  # type: ignore[operator]
    path.write_bytes(make.pillow(make.random((4, 4, 3)), "PNG"))
    assert photo.read(path).format == "PNG"


@pytest.mark.parametrize("start", [b"", b"\xff\xd8", b"\x89PNG", b"RIFF1234WAVE", b"II", b"....ftypisom....", b"8BPS"])
def test_what_is_none_of_ours(start: bytes) -> None:
    assert sniff(start.ljust(20, b"\0") if start else start) is None


def test_top_down_bmp(make: SimpleNamespace) -> None:
    """A negative height means that the first row comes first."""
    samples = make.random((5, 4, 3))
    file = bytearray(make.pillow(samples, "BMP"))
    rows = bytes(file[54:])
    file[22:26] = (-5).to_bytes(4, "little", signed=True)
    file[54:] = b"".join(rows[i : i + 12] for i in range(48, -1, -12))
    with Image.open(io.BytesIO(bytes(file))) as image:
        np.testing.assert_array_equal(np.asarray(image), samples)
    np.testing.assert_array_equal(np.rint(photo.read(bytes(file)).pixels * 255), samples)
