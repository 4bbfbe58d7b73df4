"""EXIF blocks (CIPA DC-008): the orientation, and the changes an edited picture needs, made in place so that all else stays as it is."""

from __future__ import annotations

import struct

from unveil.photo.ifd import EXIF_IFD, INTEROP_IFD, TYPES, Entry, Tiff, open_tiff

PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
WIDTH_TAGS, HEIGHT_TAGS = (0x0100, 0xA002), (0x0101, 0xA003)
COLOUR_SPACE, INTEROP_INDEX = 0xA001, 0x0001
ADOBE_RGB, UNCALIBRATED = 2, 0xFFFF
THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0201, 0x0202


def bare(block: bytes | None) -> bytes | None:
    """The block without the six bytes that JPEG puts before it; None where nothing is left."""
    if block is None:
        return None
    return (block[len(PREFIX) :] if block.startswith(PREFIX) else block) or None


def parses(block: bytes) -> bool:
    """Whether the block begins as one and its first directory can be read."""
    try:
        tiff = open_tiff(block)
        tiff.directory(tiff.first)
    except (ValueError, struct.error):
        return False
    return True


def orientation(block: bytes | None) -> int:
    """The orientation tag, 1 to 8; 1 where it is missing, meaningless, or the block cannot be read."""
    if not block:
        return 1
    try:
        tiff = open_tiff(block)
        value = tiff.integer(tiff.directory(tiff.first)[0], ORIENTATION, 1)
    except (ValueError, struct.error):
        return 1
    return value if 1 <= value <= 8 else 1


def is_adobe_rgb(block: bytes | None) -> bool:
    """Whether the block tells that the samples are Adobe RGB: no sRGB by its ColorSpace, and R03 by the rules of DCF (section 3.2)."""
    if not block:
        return False
    try:
        tiff = open_tiff(block)
        tags, _ = tiff.directory(tiff.first)
        shooting, _ = tiff.directory(tiff.integer(tags, EXIF_IFD, 0))
        space = tiff.integer(shooting, COLOUR_SPACE, UNCALIBRATED)
        if space == ADOBE_RGB:  # which no standard says, and some cameras write
            return True
        rules, _ = tiff.directory(tiff.integer(shooting, INTEROP_IFD, 0))
    except (ValueError, struct.error):
        return False
    return space == UNCALIBRATED and INTEROP_INDEX in rules and rules[INTEROP_INDEX].raw(block).startswith(b"R03")


def settle(block: bytes | None, width: int, height: int) -> bytes | None:
    """The block for an upright, edited picture of this size, every other byte where it was (maker notes point at fixed places).

    Orientation becomes 1, recorded sizes become `width` and `height`, and the thumbnail, which shows the picture before editing, is
    unlinked and blanked. A block that cannot be read is returned as it is.
    """
    if not block:
        return None
    try:
        tiff = open_tiff(block)
        tags, thumbnails = tiff.directory(tiff.first)
    except (ValueError, struct.error):
        return block
    try:
        shooting, _ = tiff.directory(tiff.integer(tags, EXIF_IFD, 0))
    except ValueError:
        shooting = {}  # none there, or damaged: no reason to leave the orientation
    out = bytearray(block)
    for entries in (tags, shooting):
        for tag, value in ((ORIENTATION, 1), *((t, width) for t in WIDTH_TAGS), *((t, height) for t in HEIGHT_TAGS)):
            if tag in entries:
                _put(out, tiff, entries[tag], value)
    if thumbnails and not tiff.big:
        _drop_thumbnail(out, tiff, thumbnails)
    return bytes(out)


def _put(out: bytearray, tiff: Tiff, entry: Entry, value: int) -> None:
    width, code = TYPES[entry.type]
    if code is not None and code in "BHIQbhiq" and entry.count >= 1 and value < 1 << (8 * width - 1):
        struct.pack_into(tiff.endian + code, out, entry.position, value)


def _drop_thumbnail(out: bytearray, tiff: Tiff, offset: int) -> None:
    (count,) = struct.unpack_from(tiff.endian + "H", tiff.data, tiff.first)
    struct.pack_into(tiff.endian + "I", out, tiff.first + 2 + 12 * count, 0)
    try:
        entries, _ = tiff.directory(offset)
    except ValueError:
        return
    start, length = tiff.integer(entries, THUMBNAIL_START, 0), tiff.integer(entries, THUMBNAIL_LENGTH, 0)
    if start >= 8 and length > 0 and start + length <= len(out):
        out[start : start + length] = bytes(length)
