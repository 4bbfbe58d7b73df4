"""EXIF blocks (CIPA DC-008), and the tagged directories that they share with TIFF files (TIFF 6.0, section 2; BigTIFF).

The orientation, and the changes that an edited picture needs, made in place so that all else stays as it is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

# Bytes per value of each field type, and its struct code; None where values are taken as raw bytes.
TYPES: dict[int, tuple[int, str | None]] = {
    1: (1, "B"), 2: (1, None), 3: (2, "H"), 4: (4, "I"), 5: (8, "II"), 6: (1, "b"), 7: (1, None), 8: (2, "h"),
    9: (4, "i"), 10: (8, "ii"), 11: (4, "f"), 12: (8, "d"), 13: (4, "I"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q"),
}  # fmt: skip
MOST_ENTRIES = 4096

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)


@dataclass(frozen=True)
class Entry:
    """One tag: its number, field type, number of values, where in the file its bytes and its record in the directory lie."""

    tag: int
    type: int
    count: int
    position: int
    size: int
    record: int

    def raw(self, data: bytes) -> bytes:
        """The value's bytes, in the file's byte order."""
        return data[self.position : self.position + self.size]


@dataclass(frozen=True)
class Tiff:
    """A block that begins with a TIFF header. endian is "<" or ">"; big: 64-bit offsets; first: where directory 0 lies."""

    data: bytes
    endian: str
    big: bool
    first: int

    def directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """The tags of the directory at `offset`, and the offset of the next one (0: none, or out of the file).

        Tags that point out of the file are left out. Raises ValueError when the directory itself is not in the file.
        """
        head, length, form = (8, 20, "HHQ") if self.big else (2, 12, "HHI")
        inline = 8 if self.big else 4
        if not 8 <= offset <= len(self.data) - head:
            raise ValueError("a directory lies outside the file")
        (count,) = struct.unpack_from(self.endian + ("Q" if self.big else "H"), self.data, offset)
        start = offset + head
        if count > MOST_ENTRIES or start + count * length > len(self.data):
            raise ValueError("a directory is cut short")
        entries: dict[int, Entry] = {}
        for index in range(count):
            at = start + index * length
            tag, kind, values = struct.unpack_from(self.endian + form, self.data, at)
            if kind not in TYPES:
                continue
            size = TYPES[kind][0] * values
            position = at + length - inline
            if size > inline:
                (position,) = struct.unpack_from(self.endian + ("Q" if self.big else "I"), self.data, position)
            if position + size <= len(self.data):
                entries.setdefault(tag, Entry(tag, kind, values, position, size, at))
        end = start + count * length
        following = 0
        if end + inline <= len(self.data):
            (following,) = struct.unpack_from(self.endian + ("Q" if self.big else "I"), self.data, end)
        return entries, following if following + head <= len(self.data) else 0

    def values(self, entry: Entry | None) -> tuple[float, ...]:
        """The numbers of a tag; rationals as quotients (nan where the denominator is 0); () for text, raw bytes or None."""
        if entry is None:
            return ()
        width, code = TYPES[entry.type]
        if code is None:
            return ()
        raw = entry.raw(self.data)
        flat = struct.unpack(f"{self.endian}{len(raw) // width * len(code)}{code[0]}", raw)
        if len(code) == 1:
            return flat
        return tuple(a / b if b else float("nan") for a, b in zip(flat[::2], flat[1::2], strict=True))

    def integer(self, entries: dict[int, Entry], tag: int, default: int) -> int:
        """The first number of a tag, or `default` where it is missing or not a whole number."""
        found = self.values(entries.get(tag))
        return found[0] if found and isinstance(found[0], int) else default

    def integers(self, entries: dict[int, Entry], tag: int) -> tuple[int, ...]:
        """All numbers of a tag as integers; () where it is missing."""
        return tuple(int(v) for v in self.values(entries.get(tag)) if v == v)


def open_tiff(data: bytes) -> Tiff:
    """Read the eight (or sixteen) bytes that every TIFF and EXIF block begins with. Raises ValueError if they are not there."""
    endian = {b"II": "<", b"MM": ">"}.get(data[:2])
    if endian is None or len(data) < 8:
        raise ValueError("no TIFF header")
    (magic,) = struct.unpack_from(endian + "H", data, 2)
    if magic == 42:
        return Tiff(data, endian, False, struct.unpack_from(endian + "I", data, 4)[0])
    if magic == 43 and len(data) >= 16:
        return Tiff(data, endian, True, struct.unpack_from(endian + "Q", data, 8)[0])
    raise ValueError("no TIFF header")


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


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) as stored to the way it is meant to be seen; 5 to 8 swap height and width."""
    if orientation >= 5:
        # Stored rows are the seen columns.
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    turned = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return np.ascontiguousarray(turned)
