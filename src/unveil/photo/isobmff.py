"""Size, depth and colour of AVIF and HEIF files from their boxes (ISO/IEC 14496-12 and 23008-12), without decoding."""

from __future__ import annotations

import struct
from collections.abc import Iterator

AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def brand(data: bytes) -> str | None:
    """The format, AVIF or HEIF or None, from the major and compatible brands of the file type box."""
    if data[4:8] != b"ftyp":
        return None
    (size,) = struct.unpack_from(">I", data)
    listed = data[8 : min(size, 256)]
    brands = {listed[0:4], *(listed[at : at + 4] for at in range(8, len(listed) - 3, 4))}
    if brands & set(AVIF_BRANDS):
        return "AVIF"
    return "HEIF" if brands & set(HEIF_BRANDS) else None


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, first byte of the content, end) of each box between two positions. Ends where a box does not fit."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def properties(data: bytes) -> tuple[int, int, int, bool]:
    """(width, height, bits per sample, single colour channel) of the largest item. Raises ValueError where no size is given.

    A picture made of a grid lists the sizes of its cells too; the largest is the picture.
    """
    size, bits, monochrome = (0, 0), 8, []
    for kind, start, end in _item_properties(data):
        if kind == b"ispe" and end - start >= 12:
            width, height = struct.unpack_from(">II", data, start + 4)
            size = max(size, (width, height), key=lambda wh: wh[0] * wh[1])
        elif kind == b"pixi" and end - start >= 6:
            bits = max(bits, data[start + 5])
        elif kind == b"av1C" and end - start >= 3:
            third = data[start + 2]
            bits = max(bits, 12 if third & 0x60 == 0x60 else 10 if third & 0x40 else 8)
            monochrome.append(bool(third & 0x10))
        elif kind == b"hvcC" and end - start >= 18:
            bits = max(bits, 8 + (data[start + 17] & 0x07))
            monochrome.append(data[start + 16] & 0x03 == 0)
    if not size[0] * size[1]:
        raise ValueError("no size given")
    # The alpha plane is a monochrome item of its own, so one coloured item makes a coloured picture.
    return *size, bits, bool(monochrome) and all(monochrome)


def _item_properties(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    for kind, start, end in boxes(data, 0, len(data)):
        if kind != b"meta":
            continue
        for inner, inner_start, inner_end in boxes(data, start + 4, end):
            if inner == b"iprp":
                for container, first, last in boxes(data, inner_start, inner_end):
                    if container == b"ipco":
                        yield from boxes(data, first, last)
