"""Metadata of TIFF files, whose EXIF is not a block but lies scattered in the file: gathered on reading, appended on writing."""

from __future__ import annotations

import struct
from typing import Any

from unveil.photo.ifd import EXIF_IFD, GPS_IFD, INTEROP_IFD, POINTERS, Entry, Tiff, open_tiff

# Description, make, model, orientation, software, date, artist, host, copyright, IPTC, Photoshop blocks, rating, Windows' titles.
CARRIED = (270, 271, 272, 274, 305, 306, 315, 316, 33432, 33723, 34377, 18246, 18249, 40091, 40092, 40093, 40094, 40095)
ICC_TAG, XMP_TAG = 34675, 700
# Type, count, and the bytes, or the directory that the tag points at.
Value = tuple[int, int, Any]


def gather(tiff: Tiff, tags: dict[int, Entry]) -> bytes | None:
    """An EXIF block, as other formats embed it, of the descriptive tags and of the EXIF, GPS and interoperability directories."""
    kept: dict[int, Value] = {
        tag: (e.type, e.count, e.raw(tiff.data)) for tag, e in tags.items() if tag in CARRIED and e.size
    }
    for pointer in (EXIF_IFD, GPS_IFD):
        if pointer in tags:
            kept[pointer] = (4, 1, _directory(tiff, tags[pointer]))
    kept = {tag: value for tag, value in kept.items() if value[2]}
    if not kept:
        return None
    head = (b"II*\0" if tiff.endian == "<" else b"MM\0*") + struct.pack(tiff.endian + "I", 8)
    return head + _pack(kept, tiff.endian, 8)


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
        if isinstance(value, dict):
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


def split(block: bytes | None) -> tuple[list[tuple[int, int, int, bytes]], list[int]]:
    """What a TIFF writer needs of an EXIF block: the descriptive tags (number, type, count, bytes), and which directories it has.

    Gives ([], []) for a block that cannot be read.
    """
    if not block:
        return [], []
    try:
        tiff = open_tiff(block)
        tags, _ = tiff.directory(tiff.first)
    except (ValueError, struct.error):
        return [], []
    if tiff.big:
        return [], []
    carried = [(e.tag, e.type, e.count, e.raw(block)) for e in tags.values() if e.tag in CARRIED and e.size]
    return carried, [pointer for pointer in (EXIF_IFD, GPS_IFD) if pointer in tags]


def append(file: bytearray, block: bytes) -> None:
    """Copy an EXIF block's directories to the end of a (classic) TIFF file and point its tags at them.

    file: a TIFF in the block's byte order whose first directory has a placeholder tag for each directory. Offsets inside the copy are
    moved by the place it comes to lie at. Raises ValueError where the file has no room left for 32-bit offsets.
    """
    tiff, source = open_tiff(bytes(file)), open_tiff(block)
    file += b"\0" * (len(file) & 1)
    base = len(file)
    if base + len(block) >= 1 << 32:
        raise ValueError("no room for 32-bit offsets")
    moved = bytearray(block)
    targets, _ = tiff.directory(tiff.first)
    tags, _ = source.directory(source.first)
    for pointer in (EXIF_IFD, GPS_IFD):
        if pointer in tags and pointer in targets:
            at = source.integer(tags, pointer, 0)
            _move(moved, source, at, base)
            struct.pack_into(tiff.endian + "I", file, targets[pointer].position, base + at)
    file += moved


def _move(moved: bytearray, source: Tiff, at: int, base: int, deeper: bool = True) -> None:
    try:
        entries, _ = source.directory(at)
    except ValueError:
        return
    for entry in entries.values():
        if entry.tag in POINTERS:
            inner = source.integer(entries, entry.tag, 0)
            struct.pack_into(source.endian + "I", moved, entry.position, base + inner)
            if deeper:
                _move(moved, source, inner, base, deeper=False)
        elif entry.size > 4:
            struct.pack_into(source.endian + "I", moved, entry.record + 8, base + entry.position)
