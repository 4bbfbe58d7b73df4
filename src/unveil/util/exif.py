"""Which way up a photograph is, by its EXIF block (CIPA DC-008): for whatever reads files, so that all see the same picture.

A block is a TIFF of its own (TIFF 6.0, section 2; BigTIFF): its directories are read here.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

# Bytes per value of each field type, and its struct code; None where values are taken as raw bytes.
TYPES: dict[int, tuple[int, str | None]] = {
    1: (1, "B"), 2: (1, None), 3: (2, "H"), 4: (4, "I"), 5: (8, "II"), 6: (1, "b"), 7: (1, None), 8: (2, "h"),
    9: (4, "i"), 10: (8, "ii"), 11: (4, "f"), 12: (8, "d"), 13: (4, "I"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q"),
}  # fmt: skip
MOST_ENTRIES = 4096


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
RAW_PROFILE = b"Raw profile type "
MOST_PROFILE = 16 << 20


def bare(block: bytes | None) -> bytes | None:
    """The block without the six bytes that JPEG puts before it; None where nothing is left."""
    if block is None:
        return None
    return (block[len(PREFIX) :] if block.startswith(PREFIX) else block) or None


def opened_block(block: bytes | None) -> tuple[Tiff, dict[int, Entry], int] | None:
    """A block with its first directory and the place of the next one; None where there is no block, or it cannot be read."""
    try:
        tiff = open_tiff(block or b"")
        return tiff, *tiff.directory(tiff.first)
    except (ValueError, struct.error):
        return None


def orientation(block: bytes | None) -> int:
    """The orientation tag, 1 to 8; 1 where it is missing, meaningless, or the block cannot be read."""
    opened = opened_block(block)
    if opened is None:
        return 1
    tiff, tags, _ = opened
    value = tiff.integer(tags, ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) as stored to the way it is meant to be seen; 5 to 8 swap height and width."""
    if orientation >= 5:
        # Stored rows are the seen columns.
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    turned = pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return np.ascontiguousarray(turned)


def inflate(content: bytes, limit: int) -> bytes:
    """At most `limit` bytes of a zlib stream. Raises ValueError where it is damaged or longer."""
    decoder = zlib.decompressobj()
    try:
        out = decoder.decompress(content, limit)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if decoder.unconsumed_tail:
        raise ValueError("longer than it may be")
    return out


def of_text(kind: str, content: bytes) -> bytes | None:
    """EXIF that a text chunk of a PNG holds, as was done before there was a chunk for it: a name, the length in bytes, and hexadecimal
    digits, on lines of their own. None where it holds something else.
    """
    keyword, _, text = content.partition(b"\0")
    if keyword not in (RAW_PROFILE + b"exif", RAW_PROFILE + b"APP1"):
        return None
    try:
        lines = (inflate(text[1:], MOST_PROFILE) if kind == "zTXt" else text).split(b"\n", 3)
        return bytes.fromhex(lines[3].decode("ascii")) or None
    except (ValueError, IndexError):
        return None


def of_png(file: BinaryIO) -> bytes | None:
    """The block of a PNG, wherever it stands in the file, without reading its pixels; None where it has none."""
    found: bytes | None = None
    older: bytes | None = None
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"IEND":
            break
        if kind not in (b"eXIf", b"tEXt", b"zTXt") or length > MOST_PROFILE:
            file.seek(length + 4, 1)
            continue
        content, sum_ = file.read(length), file.read(4)
        if int.from_bytes(sum_, "big") != zlib.crc32(kind + content) or len(sum_) < 4:
            continue
        if kind == b"eXIf":
            found = content
        else:
            older = older or of_text(kind.decode(), content)
    return bare(found or older)
