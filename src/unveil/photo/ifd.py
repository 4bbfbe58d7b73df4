"""Image file directories: the tagged structure that TIFF files and EXIF blocks share (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

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
