"""AVIF of 10 and 12 bits: the picture from imagecodecs, and profile, EXIF and XMP put into its boxes, which its encoder leaves out."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from unveil.photo import isobmff
from unveil.photo.picture import BOXED_BITS, QUALITY, Picture

# Of BT.601, as for 8 bits; primaries and transfer are sRGB's, or not stated where a profile says them (ITU-T H.273).
_MATRIX, _SRGB, _UNSTATED = 6, (1, 13), (2, 2)
_SPEED = 6


def library() -> Any:
    """imagecodecs where it is installed with AVIF, otherwise None."""
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs if imagecodecs.AVIF.available else None


def encode(picture: Picture) -> bytes:
    """An AVIF of 16-bit samples at the bits that they really have, 10 where they have all. `library` must be there."""
    bits = picture.bits or BOXED_BITS
    samples = picture.samples
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    whole = np.rint(samples * np.float32((2**bits - 1) / 65535)).astype(np.uint16)
    primaries, transfer = _UNSTATED if picture.icc else _SRGB
    data = library().avif_encode(
        whole[..., 0] if whole.shape[2] == 1 else whole,
        # The level covers alpha too, and only 100 leaves it untouched.
        level=QUALITY if picture.alpha is None else 100,
        speed=_SPEED,
        bitspersample=bits,
        pixelformat="400" if picture.samples.shape[2] == 1 else "444",
        primaries=primaries,
        transfer=transfer,
        matrix=_MATRIX,
        numthreads=1,
    )
    return with_metadata(data, picture.icc, picture.exif, picture.xmp)


def with_metadata(data: bytes, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """An AVIF as libavif writes it (file type, tables, then all data) with a profile and further items (ISO/IEC 23008-12, Annex A).

    Raises ValueError for another layout.
    """
    items = [
        (kind, rest, content)
        for kind, rest, content in (
            (b"Exif", b"Exif\0", exif and bytes(4) + exif),
            (b"mime", b"XMP\0application/rdf+xml\0", xmp),
        )
        if content
    ]
    parts = {kind: data[start:end] for kind, start, end in isobmff.boxes(data, 0, len(data))}
    if list(parts) != [b"ftyp", b"meta", b"mdat"]:
        raise ValueError(f"an AVIF with the boxes {list(parts)} was encoded")
    tables = {
        kind: parts[b"meta"][start:end] for kind, start, end in isobmff.boxes(parts[b"meta"], 4, len(parts[b"meta"]))
    }
    primary = int.from_bytes(tables[b"pitm"][4:6], "big")
    known = int.from_bytes(tables[b"iinf"][4:6], "big")
    numbers = range(known + 1, known + 1 + len(items))
    if items:
        entries = [
            _box(b"infe", struct.pack(">IHH", 2 << 24, number, 0) + kind + rest)
            for number, (kind, rest, _) in zip(numbers, items, strict=True)
        ]
        tables[b"iinf"] = bytes(4) + struct.pack(">H", known + len(items)) + tables[b"iinf"][6:] + b"".join(entries)
        described = [_box(b"cdsc", struct.pack(">HHH", number, 1, primary)) for number in numbers]
        tables[b"iref"] = tables.get(b"iref", bytes(4)) + b"".join(described)
    if icc:
        tables[b"iprp"] = _with_profile(tables[b"iprp"], icc, primary)
    more = [(number, len(content)) for number, (_, _, content) in zip(numbers, items, strict=True)]
    # Twice: where things lie depends on how long the tables are, and not on what they say.
    tables[b"iloc"] = _moved(parts[b"meta"], 0, more, len(data))
    longer = 4 + sum(len(content) + 8 for content in tables.values()) - len(parts[b"meta"])
    tables[b"iloc"] = _moved(parts[b"meta"], longer, more, len(data))
    meta = _box(b"meta", parts[b"meta"][:4] + b"".join(_box(kind, content) for kind, content in tables.items()))
    body = parts[b"mdat"] + b"".join(content for _, _, content in items)
    return _box(b"ftyp", parts[b"ftyp"]) + meta + _box(b"mdat", body)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _moved(meta: bytes, shift: int, more: list[tuple[int, int]], at: int) -> bytes:
    """The table of places (version 0, places and lengths of 4 bytes) `shift` bytes on, and of items (number, length) that begin at `at`."""
    place = next(start for kind, start, _ in isobmff.boxes(meta, 4, len(meta)) if kind == b"iloc")
    if meta[place : place + 6] != b"\0\0\0\0\x44\0":
        raise ValueError("an AVIF with an unknown table of places was encoded")
    (count,) = struct.unpack_from(">H", meta, place + 6)
    entries, where = [], place + 8
    for _ in range(count):
        number, source, extents = struct.unpack_from(">HHH", meta, where)
        spans = struct.unpack_from(f">{2 * extents}I", meta, where + 6)
        where += 6 + 8 * extents
        moved = [value if index % 2 else value + shift for index, value in enumerate(spans)]
        entries.append(struct.pack(f">HHH{2 * extents}I", number, source, extents, *moved))
    for number, length in more:
        entries.append(struct.pack(">HHHII", number, 0, 1, at + shift, length))
        at += length
    return b"\0\0\0\0\x44\0" + struct.pack(">H", len(entries)) + b"".join(entries)


def _with_profile(properties: bytes, icc: bytes, primary: int) -> bytes:
    """The box of properties with a profile more, which belongs to the primary item (associations of version 0, one byte each)."""
    inner = {kind: properties[start:end] for kind, start, end in isobmff.boxes(properties, 0, len(properties))}
    number = len(list(isobmff.boxes(inner[b"ipco"], 0, len(inner[b"ipco"])))) + 1
    table = inner[b"ipma"]
    if table[:4] != bytes(4) or number > 127:
        raise ValueError("an AVIF with an unknown table of properties was encoded")
    entries, at = b"", 8
    for _ in range(int.from_bytes(table[4:8], "big")):
        item, count = struct.unpack_from(">HB", table, at)
        own = table[at + 3 : at + 3 + count] + (bytes([number]) if item == primary else b"")
        entries += struct.pack(">HB", item, len(own)) + own
        at += 3 + count
    inner[b"ipco"] += _box(b"colr", b"prof" + icc)
    inner[b"ipma"] = table[:8] + entries
    return b"".join(_box(kind, content) for kind, content in inner.items())
