from __future__ import annotations

import io
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unveil import photo
from unveil.photo import exif, metadata
from unveil.photo.exif import open_tiff

GPS, SHOOTING = 0x8825, 0x8769
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]


def written(found: photo.Photo, **options: Any) -> bytes:
    out = io.BytesIO()
    photo.write(found, found.pixels, out, **options)
    return out.getvalue()


def facts(file: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(file)) as image:
        block = image.getexif()
        return {
            "top": dict(block),
            "shooting": dict(block.get_ifd(SHOOTING)),
            "gps": dict(block.get_ifd(GPS)),
            "info": dict(image.info),
        }


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_camera_position_and_settings_are_handed_on(make: SimpleNamespace, source: str, target: str) -> None:
    # Pillow writes no directories into a TIFF, so ours is made from a JPEG, and Pillow is the judge of what it holds.
    file = make.pillow(make.smooth(16, 24), "JPEG" if source == "TIFF" else source, exif=make.exif(6))
    before = facts(file)
    if source == "TIFF":
        file = written(photo.read(file), format="TIFF")
    after = facts(written(photo.read(file), format=target))
    assert after["gps"] == before["gps"]
    assert after["gps"][2] == (47.0, 22.0, 30.5)
    assert {t: v for t, v in after["shooting"].items() if t != 0x927C} == {
        t: v for t, v in before["shooting"].items() if t != 0x927C
    }
    assert bytes(after["shooting"][0x927C]) == bytes(before["shooting"][0x927C])
    for tag in (0x010F, 0x0110, 0x0132):
        assert after["top"][tag] == before["top"][tag]
    assert after["top"].get(0x0112, 1) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_strip_leaves_nothing_but_the_profile(make: SimpleNamespace, format: str) -> None:
    profile = make.matrix_profile("p3")
    options = {"exif": make.exif(1), "icc_profile": profile}
    if format not in ("TIFF", "PNG"):
        options["xmp"] = make.xmp
    if format == "JPEG":
        options["comment"] = b"my name"
    if format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Author", "my name")
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", make.xmp.decode())
    file = make.pillow(make.smooth(16, 24), format, **options)
    stripped = written(photo.read(file), strip=True)
    after = facts(stripped)
    assert after["info"]["icc_profile"] == profile
    assert not after["gps"]
    assert not after["shooting"]
    for text in (b"Camera 5", b"my name", b"xmpmeta", b"maker note"):
        assert text not in stripped
    assert b"Camera 5" in file


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_xmp_is_handed_on_with_its_orientation_reset(make: SimpleNamespace, format: str) -> None:
    samples = make.smooth(16, 24)
    if format == "TIFF":
        file = make.tiff(samples, extratags=[(700, 1, len(make.xmp), make.xmp, True)])
    elif format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", make.xmp.decode(), zip=True)
        file = make.pillow(samples, "PNG", pnginfo=info)
    else:
        file = make.pillow(samples, format, xmp=make.xmp)
    found = photo.read(file)
    assert found.xmp == make.xmp
    again = photo.read(written(found))
    assert again.xmp == make.xmp.replace(b'tiff:Orientation="6"', b'tiff:Orientation="1"')


def test_xmp_orientation_as_an_element_is_reset_too() -> None:
    packet = b"<a tiff:Orientation='3'/><tiff:Orientation>8</tiff:Orientation><exif:Orientation>8</exif:Orientation>"
    settled = b"<a tiff:Orientation='1'/><tiff:Orientation>1</tiff:Orientation><exif:Orientation>8</exif:Orientation>"
    assert metadata.settle(packet, 3, 2) == settled


def block_with_thumbnail(endian: str, thumbnail: bytes) -> bytes:
    """A hand-made EXIF block: orientation 6 and sizes, a shooting directory with sizes, and a thumbnail directory."""
    e = endian

    def entry(tag: int, kind: int, value: int) -> bytes:
        return struct.pack(e + "HHI", tag, kind, 1) + (
            struct.pack(e + "HH", value, 0) if kind == 3 else struct.pack(e + "I", value)
        )

    first, shooting, thumb = 8, 8 + 2 + 48 + 4, 8 + 2 + 48 + 4 + 2 + 24 + 4
    data = thumb + 2 + 24 + 4
    out = (b"II*\0" if e == "<" else b"MM\0*") + struct.pack(e + "I", first)
    out += (
        struct.pack(e + "H", 4)
        + entry(0x100, 4, 24)
        + entry(0x101, 4, 16)
        + entry(0x112, 3, 6)
        + entry(SHOOTING, 4, shooting)
    )
    out += struct.pack(e + "I", thumb)
    out += struct.pack(e + "H", 2) + entry(0xA002, 4, 24) + entry(0xA003, 3, 16) + struct.pack(e + "I", 0)
    out += struct.pack(e + "H", 2) + entry(0x201, 4, data) + entry(0x202, 4, len(thumbnail)) + struct.pack(e + "I", 0)
    return out + thumbnail


@pytest.mark.parametrize("endian", ["<", ">"])
def test_settling_changes_exactly_what_must_change(endian: str) -> None:
    thumbnail = b"\xff\xd8 a picture of how it was \xff\xd9"
    block = block_with_thumbnail(endian, thumbnail)
    settled = exif.settle(block, 16, 24)
    assert settled is not None
    assert len(settled) == len(block)
    assert thumbnail not in settled
    tiff = open_tiff(settled)
    tags, following = tiff.directory(tiff.first)
    assert following == 0
    assert tiff.integer(tags, 0x112, 0) == 1
    assert (tiff.integer(tags, 0x100, 0), tiff.integer(tags, 0x101, 0)) == (16, 24)
    shooting, _ = tiff.directory(tiff.integer(tags, SHOOTING, 0))
    assert (tiff.integer(shooting, 0xA002, 0), tiff.integer(shooting, 0xA003, 0)) == (16, 24)
    changed = sum(a != b for a, b in zip(block, settled, strict=True))
    # Orientation, four sizes, the link, and the thumbnail's own bytes; nothing else.
    assert changed <= 1 + 4 + 2 + len(thumbnail)


@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
def test_orientation_is_reset_whatever_its_type_and_neighbours(kind: int) -> None:
    """Found by mutation: a damaged directory beside it once kept the orientation, so that viewers turned the picture twice."""
    value = struct.pack("<" + {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind], 6).ljust(4, b"\0")
    broken = struct.pack("<HHII", SHOOTING, 4, 1, 99_999_999)
    block = b"II*\0" + struct.pack("<IH", 8, 2) + struct.pack("<HHI", 0x112, kind, 1) + value + broken + bytes(4)
    assert exif.orientation(block) == 6
    assert exif.orientation(exif.settle(block, 5, 5)) == 1


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"garbage that is no TIFF header", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_blocks_are_upright_and_handed_on(make: SimpleNamespace, block: bytes) -> None:
    assert exif.orientation(block) == 1
    assert exif.settle(block, 4, 5) in (block, None)
    file = make.png16(make.random((4, 5, 3), np.uint16), chunks=make.chunk(b"eXIf", block))
    found = photo.read(file)
    for target in FORMATS:
        out = io.BytesIO()
        photo.write(found, found.pixels, out, format=target)
        photo.read(out.getvalue())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_is_handed_on(make: SimpleNamespace, format: str) -> None:
    found = photo.read(make.pillow(make.smooth(8, 8), format, dpi=(300, 240)))
    assert found.dpi == pytest.approx((300, 240), abs=0.02)
    assert photo.read(written(found)).dpi == pytest.approx((300, 240), abs=0.02)


def test_captions_and_comments_of_jpeg_are_handed_on(make: SimpleNamespace) -> None:
    caption = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 10) + b"\x1c\x02\x78\0\x05a lake"
    file = make.pillow(
        make.smooth(16, 16),
        "JPEG",
        comment=b"by the lake",
        extra=b"\xff\xed" + struct.pack(">H", len(caption) + 2) + caption,
    )
    found = photo.read(file)
    assert dict(found.extra) == {"APP13": caption, "COM": b"by the lake"}
    again = photo.read(written(found))
    assert dict(again.extra) == dict(found.extra)


def test_text_and_colour_chunks_of_png_are_handed_on(make: SimpleNamespace) -> None:
    chunks = (
        make.chunk(b"gAMA", struct.pack(">I", 45455))
        + make.chunk(b"tEXt", b"Author\0somebody")
        + make.chunk(b"vpAg", b"private")
    )
    found = photo.read(make.png16(make.random((4, 4, 3), np.uint16), chunks=chunks))
    again = written(found)
    assert make.chunk(b"tEXt", b"Author\0somebody") in again
    assert make.chunk(b"gAMA", struct.pack(">I", 45455)) in again
    assert b"vpAg" not in again


def test_exif_as_hexadecimal_text_is_turned_into_a_chunk(make: SimpleNamespace) -> None:
    """The older way, which some programs still write: orientation must not survive in the text."""
    block = make.exif(6).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8d}\n{block.hex()}\n", zip=True)
    file = make.pillow(make.random((4, 6, 3)), "PNG", pnginfo=text)
    found = photo.read(file)
    assert found.orientation == 6
    assert found.pixels.shape == (6, 4, 3)
    again = written(found)
    assert b"Raw profile" not in again
    assert photo.read(again).orientation == 1
    assert facts(again)["gps"][1] == "N"


def test_what_a_format_cannot_hold_is_said(make: SimpleNamespace) -> None:
    long = b"<x:xmpmeta>" + b"x" * 70_000 + b"</x:xmpmeta>"
    found = photo.read(make.tiff(make.smooth(8, 8), extratags=[(700, 1, len(long), long, True)]))
    out = io.BytesIO()
    notes = photo.write(found, found.pixels, out, format="JPEG")
    assert any("XMP left out" in note for note in notes)
    notes = photo.write(found, found.pixels, io.BytesIO(), format="BMP")
    assert any("BMP holds none" in note for note in notes)
