"""EXIF blocks (CIPA DC-008), and the tagged directories that they share with TIFF files (TIFF 6.0, section 2; BigTIFF).

The orientation, and the changes that an edited picture needs, made in place so that all else stays as it is. A TIFF has no block: its
descriptive tags and directories are gathered into one, and put in front of the file that is written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from unveil.util.exif import ORIENTATION, TYPES, Entry, Tiff, open_tiff, opened_block
from unveil.util.exif import PREFIX as PREFIX
from unveil.util.exif import bare as bare
from unveil.util.exif import orientation as orientation
from unveil.util.exif import upright as upright

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)


WIDTH_TAGS, HEIGHT_TAGS = (0x0100, 0xA002), (0x0101, 0xA003)
COLOUR_SPACE, INTEROP_INDEX = 0xA001, 0x0001
ADOBE_RGB, UNCALIBRATED = 2, 0xFFFF
THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0201, 0x0202


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
    opened = opened_block(block)
    if block is None or opened is None:
        return block or None
    tiff, tags, thumbnails = opened
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


# Description, make, model, orientation, software, date, artist, host, copyright, rating, Windows' titles.
CARRIED = (270, 271, 272, 274, 305, 306, 315, 316, 33432, 18246, 18249, 40091, 40092, 40093, 40094, 40095)
MAKER_NOTE = 0x927C
# Notes whose offsets count from their own beginning. All others point at places in the file that they were written into.
MOVABLE = (b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM", b"FUJIFILM", b"Apple iOS\0", b"PENTAX \0")
# An EXIF block that JPEG can hold, too.
LARGEST = 65000
STRIP_OFFSETS = 273


@dataclass(frozen=True)
class _Fixed:
    """A value that stays at its place."""

    position: int
    raw: bytes


# Type, count, and the bytes, or the directory that the tag points at.
Value = tuple[int, int, Any]


def gather(tiff: Tiff, tags: dict[int, Entry]) -> tuple[bytes | None, tuple[str, ...]]:
    """An EXIF block, as other formats embed it, of the descriptive tags and of the EXIF, GPS and interoperability directories; and notes.

    A maker note stays at the place that it has in the file, since it may point at itself by that; it is left out where it cannot.
    """
    kept: dict[int, Value] = {
        tag: (e.type, e.count, e.raw(tiff.data)) for tag, e in tags.items() if tag in CARRIED and e.size
    }
    for pointer in (EXIF_IFD, GPS_IFD):
        if pointer in tags:
            kept[pointer] = (4, 1, _directory(tiff, tags[pointer]))
    kept = {tag: value for tag, value in kept.items() if value[2]}
    if not kept:
        return None, ()
    shooting = kept.get(EXIF_IFD, (0, 0, {}))[2]
    mark = b"II*\0" if tiff.endian == "<" else b"MM\0*"
    note = shooting.get(MAKER_NOTE)
    if note is None or not isinstance(note[2], _Fixed):
        return mark + struct.pack(tiff.endian + "I", 8) + _pack(kept, tiff.endian, 8), ()
    start, end = note[2].position, note[2].position + len(note[2].raw)
    rest = _pack(kept, tiff.endian, end + (end & 1)) if start >= 8 and end < LARGEST else b""
    if rest and end + len(rest) < LARGEST:
        head = mark + struct.pack(tiff.endian + "I", end + (end & 1))
        return head.ljust(start, b"\0") + note[2].raw + b"\0" * (end & 1) + rest, ()
    del shooting[MAKER_NOTE]
    block = mark + struct.pack(tiff.endian + "I", 8) + _pack(kept, tiff.endian, 8)
    return block, ("the camera's maker note was left out: it cannot be read at another place than its own",)


def _directory(tiff: Tiff, pointer: Entry) -> dict[int, Value]:
    at = tiff.integers({pointer.tag: pointer}, pointer.tag)
    try:
        entries, _ = tiff.directory(at[0] if at else 0)
    except ValueError:
        return {}
    # Types 16 to 18 exist in BigTIFF alone.
    kept: dict[int, Value] = {
        t: (e.type, e.count, e.raw(tiff.data)) for t, e in entries.items() if e.type < 16 and t not in POINTERS
    }
    if MAKER_NOTE in kept and len(kept[MAKER_NOTE][2]) > 4 and not kept[MAKER_NOTE][2].startswith(MOVABLE):
        kind, count, raw = kept[MAKER_NOTE]
        kept[MAKER_NOTE] = (kind, count, _Fixed(entries[MAKER_NOTE].position, raw))
    if INTEROP_IFD in entries and pointer.tag == EXIF_IFD:
        inner = _directory(tiff, entries[INTEROP_IFD])
        if inner:
            kept[INTEROP_IFD] = (4, 1, inner)
    return kept


def _pack(tags: dict[int, Value], endian: str, base: int) -> bytes:
    """A directory that begins at `base`, the values that do not fit into it, and the directories it points at, in one piece."""
    body = b""
    after = base + 2 + 12 * len(tags) + 4
    records = []
    for tag in sorted(tags):
        kind, count, value = tags[tag]
        if isinstance(value, _Fixed):
            field = struct.pack(endian + "I", value.position)
        elif isinstance(value, dict):
            at = after + len(body)
            body += _pack(value, endian, at)
            field = struct.pack(endian + "I", at)
        elif len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack(endian + "I", after + len(body))
            body += value + b"\0" * (len(value) & 1)
        records.append(struct.pack(endian + "HHI", tag, kind, count) + field)
    return struct.pack(endian + "H", len(records)) + b"".join(records) + b"\0" * 4 + body


def split(block: bytes | None) -> tuple[list[tuple[int, int, int, bytes]], dict[int, int]]:
    """What a TIFF writer needs of an EXIF block: the descriptive tags (number, type, count, bytes), and where its directories lie.

    Gives ([], {}) for a block that cannot be read.
    """
    opened = opened_block(block)
    if block is None or opened is None or opened[0].big:
        return [], {}
    tiff, tags, _ = opened
    carried = [(e.tag, e.type, e.count, e.raw(block)) for e in tags.values() if e.tag in CARRIED and e.size]
    return carried, {pointer: tiff.integer(tags, pointer, 0) for pointer in (EXIF_IFD, GPS_IFD) if pointer in tags}


def put_in_front(file: bytes, block: bytes) -> bytes:
    """A (classic) TIFF that begins with an EXIF block, every byte of it at its own place, since maker notes point at places.

    file: a TIFF of one page, in strips, in the block's byte order, whose tags for the block's directories have their offsets
    already. Raises ValueError where the file has no room left for 32-bit offsets.
    """
    tiff = open_tiff(file)
    base = len(block) + (len(block) & 1)
    if tiff.big or base + len(file) >= 1 << 32:
        raise ValueError("no room for 32-bit offsets")
    moved = bytearray(file)
    entries, _ = tiff.directory(tiff.first)
    for entry in entries.values():
        if entry.tag == STRIP_OFFSETS:
            form = f"{tiff.endian}{entry.count}{TYPES[entry.type][1]}"
            struct.pack_into(form, moved, entry.position, *(base + at for at in tiff.integers(entries, STRIP_OFFSETS)))
        if entry.size > 4:
            struct.pack_into(tiff.endian + "I", moved, entry.record + 8, base + entry.position)
    return block[:4] + struct.pack(tiff.endian + "I", base + tiff.first) + block[8:].ljust(base - 8, b"\0") + moved


def in_order(raw: bytes, kind: int, swapped: bool) -> bytes:
    """A tag's bytes in the other byte order."""
    width, code = TYPES[kind]
    if not swapped or code is None:
        return raw
    each = width // len(code)
    return b"".join(raw[at : at + each][::-1] for at in range(0, len(raw), each))
