"""What is written beside a picture other than EXIF and XMP: captions, comments, texts, georeferences; from one format to another."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from unveil.photo import jpeg, png, xmp

PHOTOSHOP = b"Photoshop 3.0\0"
IPTC_RESOURCE = 0x0404
# Thumbnails in Photoshop's blocks: they show the picture before it was restored.
THUMBNAILS = (0x0409, 0x040C)
# A piece of `extra` that is a TIFF tag: number, type, count and the bytes, little-endian.
TIFF = "TIFF"
# The clip of a motion photo, and a gain map: what lies behind a JPEG.
TAIL, GAIN = "TAIL", "GAIN"
Pieces = tuple[tuple[str, bytes], ...]


def carried(
    pieces: Pieces, packet: bytes | None, source: str, target: str
) -> tuple[Pieces, bytes | None, tuple[str, ...]]:
    """The pieces as `target` holds them, the XMP packet with what had to move into it, and what was left out, in words."""
    kept: list[tuple[str, bytes]] = []
    lost: dict[str, None] = {}
    extended = [content for name, content in pieces if name == "APP1"]
    if extended and target != "JPEG":
        packet, whole = xmp.merged(packet, extended)
        if not whole:
            lost["the extended part of its XMP"] = None
    for name, content in pieces:
        if name == "APP1":
            kept += [(name, content)] if target == "JPEG" else []
        elif name == "APP13":
            if target in ("JPEG", "TIFF"):
                kept.append((name, without_thumbnail(content)))
            elif content.startswith(PHOTOSHOP) and iptc(content[len(PHOTOSHOP) :]):
                lost["captions (IPTC)"] = None
        elif name == "COM":
            if target in ("JPEG", "GIF"):
                kept.append((name, content))
            elif target == "PNG":
                kept.append(_png_text(b"Comment", content))
            else:
                lost["its comment"] = None
        elif name in png.TEXT_CHUNKS:
            if target == "PNG":
                kept.append((name, content))
            elif target == "JPEG" and (text := _comment(name, content)):
                kept.append(("COM", text))
            else:
                lost["its PNG texts"] = None
        elif name in png.COLOUR_CHUNKS:
            kept += [(name, content)] if target == source == "PNG" else []
        elif name == TIFF:
            if target == "TIFF":
                kept.append((name, content))
            else:
                lost["where it lies on earth (GeoTIFF)"] = None
        elif name == GAIN and target == source:
            kept.append((name, content))
        elif name == TAIL:
            if target == source:
                kept.append((name, content))
            else:
                lost["the clip of the motion photo"] = None
    notes = (f"left out, since {target} holds none: {', '.join(lost)}",) if lost else ()
    return tuple(kept), packet, notes


def of_tiff(resources: bytes | None, records: bytes | None) -> Pieces:
    """Photoshop's blocks and IPTC records of a TIFF as the segment that JPEG has for both."""
    if not resources and records:
        resources = _resource(IPTC_RESOURCE, records)
    return (("APP13", PHOTOSHOP + resources),) if resources else ()


def resources(pieces: Iterable[tuple[str, bytes]]) -> bytes:
    """Photoshop's blocks, of all the segments that they are cut into."""
    return b"".join(c[len(PHOTOSHOP) :] for name, c in pieces if name == "APP13" and c.startswith(PHOTOSHOP))


def iptc(data: bytes) -> bytes | None:
    """The IPTC records among Photoshop's blocks."""
    return next((content for number, content, _ in _blocks(data) if number == IPTC_RESOURCE), None)


def without_thumbnail(segment: bytes) -> bytes:
    """A segment without the small picture in it."""
    if not segment.startswith(PHOTOSHOP):
        return segment
    data = segment[len(PHOTOSHOP) :]
    gone = [place for number, _, place in _blocks(data) if number in THUMBNAILS]
    for start, end in reversed(gone):
        data = data[:start] + data[end:]
    return PHOTOSHOP + data


def _blocks(data: bytes) -> Iterator[tuple[int, bytes, tuple[int, int]]]:
    """(number, content, where it lies) of each block: its mark, its number, a name, its length, both padded to even."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        body = at + 6 + name + (name & 1)
        if body + 4 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, body)
        end = body + 4 + length + (length & 1)
        yield number, data[body + 4 : body + 4 + length], (at, min(end, len(data)))
        at = end


def _resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + b"\0" * (len(content) & 1)


def _png_text(keyword: bytes, text: bytes) -> tuple[str, bytes]:
    """Latin-1 has a chunk of its own; what is UTF-8 and more than ASCII goes into the international one."""
    text = text.rstrip(b"\0")
    try:
        international = any(byte > 127 for byte in text) and bool(text.decode("utf-8"))
    except UnicodeDecodeError:
        international = False
    return ("iTXt", keyword + b"\0\0\0\0\0" + text) if international else ("tEXt", keyword + b"\0" + text)


def _comment(kind: str, content: bytes) -> bytes | None:
    """The text of a PNG chunk whose keyword is Comment; None for others."""
    keyword, _, rest = content.partition(b"\0")
    if keyword != b"Comment":
        return None
    try:
        if kind == "zTXt":
            return png.inflate(rest[1:], jpeg.LONGEST_PAYLOAD)
        return rest.split(b"\0", 3)[-1] if kind == "iTXt" else rest
    except ValueError:
        return None
