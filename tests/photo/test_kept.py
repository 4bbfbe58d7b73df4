"""What a file holds beside its colours is kept where the target can, and said where it cannot."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from unveil import photo
from unveil.errors import InputError
from unveil.photo import jpeg, metadata
from unveil.photo.exif import open_tiff, upright


def written(found: photo.Photo, format: str | None = None, **options: Any) -> tuple[bytes, tuple[str, ...]]:
    out = io.BytesIO()
    notes = photo.write(found, found.pixels, out, format, **options)
    return out.getvalue(), notes


def maker_note(block: bytes | None) -> tuple[int, bytes]:
    """Where the maker note lies, and its bytes."""
    assert block is not None
    tiff = open_tiff(block)
    tags, _ = tiff.directory(tiff.first)
    shooting, _ = tiff.directory(tiff.integer(tags, 0x8769, 0))
    return shooting[0x927C].position, shooting[0x927C].raw(block)


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize(
    "way", [("TIFF", "JPEG"), ("TIFF", "TIFF", "PNG"), ("AVIF", "TIFF", "AVIF"), ("PNG",), ("WEBP",)]
)
def test_maker_notes_stay_where_they_point(make: SimpleNamespace, endian: str, way: tuple[str, ...]) -> None:
    """A note with offsets from the block's beginning: at 100, 16 bytes that say where they are."""
    note = struct.pack(endian + "I", 100) + b"lens at 100."
    head = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(endian + "IHHHIII", 8, 1, 0x8769, 4, 1, 26, 0)
    block = head + struct.pack(endian + "HHHIII", 1, 0x927C, 7, len(note), 100, 0)
    block = block.ljust(100, b"\0") + note
    found = photo.read(make.pillow(make.smooth(16, 16), "JPEG", exif=b"Exif\0\0" + block))
    for format in way:
        data, notes = written(found, format)
        assert notes == ()
        found = photo.read(data)
        assert found.notes == ()
    assert maker_note(found.exif) == (100, note)
    if "TIFF" in way:
        data, _ = written(found, "TIFF")
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            assert file.pages[0].asarray().shape == (16, 16, 3)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), np.rint(found.pixels * 255))


def test_a_maker_note_too_far_in_a_tiff_is_left_out_and_said(make: SimpleNamespace) -> None:
    found = photo.read(make.pillow(make.random((4, 4, 3)), "JPEG", exif=make.exif(1).tobytes()))
    data, _ = written(found, "TIFF")
    tiff = open_tiff(data)
    tags, _ = tiff.directory(tiff.first)
    shooting, _ = tiff.directory(tiff.integer(tags, 0x8769, 0))
    moved = bytearray(data + bytes(100_000))
    struct.pack_into(tiff.endian + "I", moved, shooting[0x927C].record + 8, len(data) + 90_000)
    assert "maker note was left out" in photo.read(bytes(moved)).notes[0]


def test_infrared_is_no_transparency(make: SimpleNamespace) -> None:
    samples = make.random((8, 10, 4), np.uint16)
    found = photo.read(make.tiff(samples, extra="unspecified"))
    assert found.alpha is None
    data, notes = written(found)
    assert notes == ()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(file.asarray(), samples)
        assert file.pages[0].extrasamples == (0,)
    data, notes = written(found, "PNG")
    assert photo.read(data).alpha is None
    assert "1 channels beside colour" in notes[0]


def test_further_channels_are_kept_in_tiff(make: SimpleNamespace) -> None:
    samples = make.random((8, 10, 6))
    out = io.BytesIO()
    tifffile.imwrite(out, samples, photometric="rgb", extrasamples=["unspecified", "unassalpha", "unspecified"])
    found = photo.read(out.getvalue())
    np.testing.assert_array_equal(found.alpha, samples[..., 4])
    np.testing.assert_array_equal(found.others, samples[..., [3, 5]])
    again = photo.read(written(found)[0])
    np.testing.assert_array_equal(again.others, found.others)
    np.testing.assert_array_equal(again.alpha, found.alpha)


def tiff_with_preview(full: np.ndarray, small: np.ndarray, nested: bool, **options: Any) -> bytes:
    """A reduced copy in directory 0; the picture in a sub-directory of it, or in the next one."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1 if nested else 0, metadata=None)
        writer.write(full, metadata=None, **{"photometric": "rgb", **options})
    return out.getvalue()


@pytest.mark.parametrize("nested", [True, False])
def test_a_reduced_copy_is_never_the_picture(make: SimpleNamespace, nested: bool) -> None:
    full, small = make.random((24, 32, 3), np.uint16), make.random((6, 8, 3))
    found = photo.read(tiff_with_preview(full, small, nested))
    np.testing.assert_array_equal(np.rint(found.pixels * 65535), full)
    assert "1 reduced copies" in found.notes[0]


def test_georeferences_and_captions_go_through_tiff(make: SimpleNamespace) -> None:
    out = io.BytesIO()
    scale = struct.pack("<3d", 0.5, 0.5, 0)
    tifffile.imwrite(
        out, make.random((4, 4, 3)), photometric="rgb", metadata=None,
        extratags=[(33550, 12, 3, scale, True), (42113, 2, 6, b"-9999\0", True), (34735, 3, 4, struct.pack("<4H", 1, 1, 0, 0), True)],
    )  # fmt: skip
    found = photo.read(out.getvalue())
    data, notes = written(found)
    assert notes == ()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        assert tags[33550].value == (0.5, 0.5, 0)
        assert tags[42113].value == "-9999"
        assert tags[34735].value == (1, 1, 0, 0)
    assert "GeoTIFF" in written(found, "PNG")[1][0]


def test_captions_and_comments_between_formats(make: SimpleNamespace) -> None:
    records = b"\x1c\x02\x19\0\x07harbour"
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
    small = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"tiny"
    given = make.pillow(make.smooth(8, 8), "JPEG", comment=b"scan 12")
    at = given.index(b"\xff\xdb")
    found = photo.read(given[:at] + jpeg.segment("APP13", metadata.PHOTOSHOP + small + block) + given[at:])
    data, notes = written(found)
    assert notes == ()
    assert b"harbour" in data
    assert b"scan 12" in data
    assert b"tiny" not in data, "a thumbnail shows the picture as it was"
    data, notes = written(found, "TIFF")
    assert "comment" in notes[0]
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert bytes(file.pages[0].tags[33723].value) == records
    assert b"harbour" in written(photo.read(data), "JPEG")[0]
    data, notes = written(found, "PNG")
    assert b"tEXtComment\0scan 12" in data
    assert "IPTC" in notes[0]
    assert photo.read(written(photo.read(data), "JPEG")[0]).extra == (("COM", b"scan 12"),)
    assert written(found, "PNG", strip=True)[1] == ()


def test_extended_xmp_moves_into_one_packet(make: SimpleNamespace) -> None:
    tree = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"%s>%s</rdf:RDF></x:xmpmeta>'
    extended = tree % (b' xmlns:far="http://far.example/"', b'<rdf:Description rdf:about="" far:depth="data"/>')
    digest = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode()
    main = tree % (
        b"",
        b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="'
        + digest
        + b'"/>',
    )
    half = len(extended) // 2
    parts = [
        jpeg.EXTENDED_XMP + digest + struct.pack(">II", len(extended), start) + extended[start : start + size]
        for start, size in ((half, len(extended)), (0, half))
    ]
    given = make.pillow(make.smooth(8, 8), "JPEG", xmp=main)
    at = given.index(b"\xff\xdb")
    found = photo.read(given[:at] + b"".join(jpeg.segment("APP1", part) for part in parts) + given[at:])
    packet = photo.read(written(found, "PNG")[0]).xmp
    assert packet is not None
    assert b"HasExtendedXMP" not in packet
    from xml.etree import ElementTree

    names = [name for node in ElementTree.fromstring(packet).iter() for name in node.attrib]
    assert "{http://far.example/}depth" in names
    lost = jpeg.segment("APP1", parts[0])
    _, notes = written(photo.read(given[:at] + lost + given[at:]), "PNG")
    assert "extended part" in notes[0]


MOTION = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:GCamera="g" xmlns:hdrgm="h" xmlns:Container="c" xmlns:Item="i" GCamera:MotionPhoto="1" hdrgm:Version="1.0" title="Lake">'
    b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Length="9"/></rdf:li>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto" Item:Length="24"/></rdf:li>'
    b"</rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_gain_map_is_turned_with_its_picture(make: SimpleNamespace, orientation: int, channels: int) -> None:
    """And keeps its parameters; its length in XMP is the new one."""
    parameters = b"http://ns.adobe.com/xap/1.0/\0<x hdrgm:GainMapMax='2'/>"
    lying = make.pillow(make.smooth(24, 40, channels), "JPEG", quality=90, subsampling=0)
    gain = lying[:2] + jpeg.segment("APP1", parameters) + lying[2:]
    packet = MOTION.replace(b'GCamera:MotionPhoto="1"', b"")
    shown = make.pillow(make.smooth(48, 80), "JPEG", xmp=packet, exif=make.exif(orientation))
    found = photo.read(shown + gain)
    data, notes = written(found)
    assert notes == ()
    tail = data[jpeg.end(data) :]
    assert parameters in tail
    assert b'Item:Semantic="GainMap" Item:Length="%d"' % len(tail) in (photo.read(data).xmp or b"")
    before, after = (np.asarray(Image.open(io.BytesIO(piece))).astype(int) for piece in (lying, tail))
    assert np.abs(upright(before, orientation) - after).max() <= 3
    assert written(photo.read(shown + b"\xff\xd8\xff\xe0 not a picture"))[1] != ()


def test_what_lies_behind_a_jpeg_and_a_packet_that_says_the_truth(make: SimpleNamespace) -> None:
    clip = struct.pack(">I", 16) + b"ftypmp42" + bytes(4) + struct.pack(">I", 8) + b"mdat"
    gain = make.pillow(make.smooth(4, 4, 1), "JPEG")
    found = photo.read(make.pillow(make.smooth(40, 40), "JPEG", xmp=MOTION) + gain + clip)
    assert found.notes == ()
    data, notes = written(found)
    assert notes == ()
    assert data.endswith(gain + clip)
    packet = photo.read(data).xmp
    assert packet is not None
    assert b'hdrgm:Version="1.0"' in packet
    assert b'Item:Semantic="GainMap" Item:Length="%d"' % len(gain) in packet

    out = io.BytesIO()
    notes = photo.write(found, found.pixels * 0.8, out)
    assert "gain map was left out" in notes[0]
    data = out.getvalue()
    assert data.endswith(clip)
    assert gain not in data
    packet = photo.read(data).xmp
    assert packet is not None
    assert b"hdrgm:Version" not in packet
    assert b"GainMap" not in packet
    assert b'GCamera:MotionPhoto="1"' in packet
    assert b'Item:Semantic="MotionPhoto" Item:Length="24"' in packet

    data, notes = written(found, "PNG")
    assert any("the clip of the motion photo" in note for note in notes)
    assert any("gain map" in note for note in notes)
    packet = photo.read(data).xmp
    assert packet is not None
    assert b"MotionPhoto" not in packet
    assert b"GainMap" not in packet
    assert b'title="Lake"' in packet


def test_sizes_in_xmp_are_those_of_the_turned_picture() -> None:
    packet = b'<a exif:PixelXDimension="40" exif:PixelYDimension="30"><tiff:ImageWidth>40</tiff:ImageWidth></a>'
    assert metadata.settle(packet, 30, 40) == (
        b'<a exif:PixelXDimension="30" exif:PixelYDimension="40"><tiff:ImageWidth>30</tiff:ImageWidth></a>'
    )


@pytest.mark.parametrize("progressive", [False, True])
def test_only_the_end_marker_is_missing(make: SimpleNamespace, progressive: bool) -> None:
    whole = make.pillow(make.random((64, 96, 3)), "JPEG", quality=90, progressive=progressive)
    found = photo.read(whole[:-2])
    assert "end marker is missing" in found.notes[0]
    np.testing.assert_array_equal(found.pixels, photo.read(whole).pixels)
    for cut in (3, 6, 40, 3000):
        with pytest.raises(InputError, match="cut short"):
            photo.read(whole[:-cut])


@pytest.mark.shared
def test_the_cases(shared: Path) -> None:
    cases = shared / "cases"
    infrared, masks = photo.read(cases / "t_rgbi.tif"), photo.read(cases / "t_2extra.tif")
    assert infrared.alpha is None
    for found, name in ((infrared, "t_rgbi.tif"), (masks, "t_2extra.tif")):
        data, notes = written(found)
        assert notes == ()
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), tifffile.imread(cases / name))
    found = photo.read(cases / "motion.MP.jpg")
    data, notes = written(found)
    assert notes == ()
    assert data[-2438:] == (cases / "motion.MP.jpg").read_bytes()[-2438:]
    found = photo.read(cases / "maker.jpg")
    for format in ("JPEG", "TIFF", "AVIF", "PNG"):
        assert maker_note(photo.read(written(found, format)[0]).exif) == maker_note(found.exif)
    for name in ("text.png", "lineart.png", "night_sky.png"):
        found = photo.read(cases / name)
        data, notes = written(found)
        assert notes == ()
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(Image.open(cases / name)))
