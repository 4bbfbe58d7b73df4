"""Size, depth, colour and further pictures of AVIF and HEIF files from their boxes (ISO/IEC 14496-12 and 23008-12), without decoding."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
CANON_RAW = b"crx "


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


def clip_in(data: bytes, start: int) -> int | None:
    """Where a clip begins behind a picture (the clip of a motion photo), None where none does."""
    while (at := data.find(b"ftyp", start)) >= 0:
        if at - 4 >= start and 8 <= int.from_bytes(data[at - 4 : at], "big") <= 256:
            return at - 4
        start = at + 4
    return None


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
    for kind, start, end in _Meta.of(data).properties:
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


@dataclass(frozen=True)
class Contents:
    """What a file tells beside its main picture.

    cicp: colour primaries and transfer by their numbers in ITU-T H.273, None where they are not told. others: further pictures in
    words, each kind once.
    """

    cicp: tuple[int, int] | None
    others: tuple[str, ...]


# Auxiliary pictures by the ending or a part of their names; alpha is part of the picture itself.
_AUXILIARY = (
    ("hdrgainmap", "a gain map"), ("auxid:2", "a depth map"), ("depth", "a depth map"), ("disparity", "a depth map"),
)  # fmt: skip
_ALPHA = ("auxid:1", ":alpha")


def contents(data: bytes) -> Contents:
    """Colours and further pictures of an AVIF or HEIF file. What is damaged is passed over."""
    try:
        meta = _Meta.of(data)
    except (struct.error, IndexError):
        return Contents(None, ())
    own = [meta.primary, *meta.references.get((b"dimg", meta.primary), ())]
    found = [meta.cicp(item, data) for item in own]
    return Contents(next((pair for pair in found if pair), None), tuple(dict.fromkeys(_others(meta, data))))


def _others(meta: _Meta, data: bytes) -> Iterator[str]:
    parts = {part for (kind, _), to in meta.references.items() if kind in (b"dimg", b"base", b"tbas") for part in to}
    helpers = {item for kind, item in meta.references if kind in (b"thmb", b"auxl", b"cdsc", b"prem")}
    for item, kind in meta.kinds.items():
        if kind == b"tmap":
            yield "a gain map"
        elif item in helpers and (name := meta.auxiliary(item, data)):
            if not name.endswith(_ALPHA):
                yield next((words for part, words in _AUXILIARY if part in name), "a matte or map")
        elif kind in (b"hvc1", b"av01", b"grid", b"iden", b"iovl", b"jpeg") and item not in (
            *parts,
            *helpers,
            meta.primary,
        ):
            yield "a further picture"


@dataclass
class _Meta:
    """The tables of the `meta` box: which item is the picture, of what kind each is, what belongs to what."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    references: dict[tuple[bytes, int], tuple[int, ...]] = field(default_factory=dict)
    properties: list[tuple[bytes, int, int]] = field(default_factory=list)
    owned: dict[int, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes) -> _Meta:
        meta = cls()
        for kind, start, end in boxes(data, 0, len(data)):
            if kind == b"meta":
                for inner in boxes(data, start + 4, end):
                    meta._take(data, *inner)
        return meta

    def _take(self, data: bytes, kind: bytes, start: int, end: int) -> None:
        version = data[start] if start < end else 0
        if kind == b"pitm":
            (self.primary,) = struct.unpack_from(">I" if version else ">H", data, start + 4)
        elif kind == b"iinf":
            for inner, at, _ in boxes(data, start + (8 if version else 6), end):
                if inner == b"infe" and data[at] >= 2:
                    number, _, name = struct.unpack_from(">IH4s" if data[at] > 2 else ">HH4s", data, at + 4)
                    self.kinds[number] = name
        elif kind == b"iref":
            form = "I" if version else "H"
            for name, at, _ in boxes(data, start + 4, end):
                one, count = struct.unpack_from(f">{form}H", data, at)
                targets = struct.unpack_from(f">{count}{form}", data, at + struct.calcsize(f">{form}H"))
                self.references[name, one] = (*self.references.get((name, one), ()), *targets)
        elif kind == b"iprp":
            for container, first, last in boxes(data, start, end):
                if container == b"ipco":
                    self.properties += boxes(data, first, last)
                elif container == b"ipma":
                    self._own(data, first)

    def _own(self, data: bytes, at: int) -> None:
        wide, long = data[at] >= 1, data[at + 3] & 1
        (entries,) = struct.unpack_from(">I", data, at + 4)
        at += 8
        for _ in range(min(entries, 65536)):
            item, count = struct.unpack_from(">IB" if wide else ">HB", data, at)
            at += 5 if wide else 3
            indices = struct.unpack_from(f">{count}{'H' if long else 'B'}", data, at)
            at += count * (2 if long else 1)
            self.owned[item] = tuple(index & (0x7FFF if long else 0x7F) for index in indices)

    def _properties_of(self, item: int) -> Iterator[tuple[bytes, int, int]]:
        for index in self.owned.get(item, ()):
            if 1 <= index <= len(self.properties):
                yield self.properties[index - 1]

    def cicp(self, item: int, data: bytes) -> tuple[int, int] | None:
        for kind, start, end in self._properties_of(item):
            if kind == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8:
                primaries, transfer = struct.unpack_from(">HH", data, start + 4)
                return primaries, transfer
        return None

    def auxiliary(self, item: int, data: bytes) -> str:
        for kind, start, end in self._properties_of(item):
            if kind == b"auxC":
                return data[start + 4 : end].split(b"\0")[0].decode("latin-1").lower()
        return ""
