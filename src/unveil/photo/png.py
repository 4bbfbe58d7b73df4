"""The chunks of a PNG file (W3C PNG, third edition): metadata in, metadata out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from unveil.photo import cicp, icc
from unveil.photo.srgb import D65, SRGB_PRIMARIES

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
# Carried as they are: what the samples mean, and what somebody wrote about them. Text is dropped with the other metadata.
COLOUR_CHUNKS = ("cHRM", "gAMA", "sRGB", "cICP", "sBIT")
TEXT_CHUNKS = ("tEXt", "zTXt", "iTXt")
# Metadata as hexadecimal text, from before PNG had chunks for it, and still written by some programs.
RAW_PROFILE = b"Raw profile type "
MOST_PROFILE = 16 << 20
METRE = 0.0254
SRGB_GAMMA = 45455
# Chromaticities this near are the same, rounded.
SAME_PLACE = 2e-3


def chunks(data: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """(type, content, whether its checksum is right) of each chunk up to IEND. Ends quietly where the file does."""
    view = memoryview(data)
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            return
        kind = data[at + 4 : at + 8]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        yield (
            kind.decode("latin-1"),
            bytes(view[at + 8 : at + 8 + length]),
            zlib.crc32(view[at + 4 : at + 8 + length]) == crc,
        )
        if kind == b"IEND":
            return
        at += 12 + length


def chunk(kind: str, content: bytes) -> bytes:
    """A whole chunk with its length and checksum."""
    body = kind.encode("latin-1") + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


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


class Metadata:
    """icc, exif, xmp, dpi as in Photo, and `extra`: colour and text chunks to carry over. Damaged pieces are left out.

    cicp: primaries and transfer that a cICP chunk states, which goes before every profile. icc: the embedded profile, or one of what
    gAMA and cHRM state where neither profile nor sRGB chunk is there.
    """

    def __init__(self, data: bytes) -> None:
        self.icc: bytes | None = None
        self.exif: bytes | None = None
        self.xmp: bytes | None = None
        self.dpi: tuple[float, float] | None = None
        self.animated = False
        self.cicp: tuple[int, int] | None = None
        extra: list[tuple[str, bytes]] = []
        older: bytes | None = None
        for kind, content, sound in chunks(data):
            if not sound or kind == "IDAT":
                continue
            if kind == "iCCP":
                self.icc = self.icc or _profile(content)
            elif kind == "eXIf":
                self.exif = content
            elif kind == "pHYs" and len(content) == 9:
                x, y, unit = struct.unpack(">IIB", content)
                if unit == 1 and x and y:
                    self.dpi = (x * METRE, y * METRE)
            elif kind == "acTL" and len(content) == 8:
                self.animated = struct.unpack_from(">I", content)[0] > 1
            elif kind == "iTXt" and content.startswith(XMP_KEYWORD + b"\0"):
                self.xmp = self.xmp or _xmp(content)
            elif kind in TEXT_CHUNKS and content.startswith(RAW_PROFILE):
                older = older or _raw_exif(kind, content)
            elif kind in COLOUR_CHUNKS or kind in TEXT_CHUNKS:
                extra.append((kind, content))
        self.exif = self.exif or older
        self.extra = tuple(extra)
        found = dict(extra)
        if len(found.get("cICP", b"")) == 4:
            self.cicp = (found["cICP"][0], found["cICP"][1])
        elif not self.icc and "sRGB" not in found:
            self.icc = _chromatic(found.get("gAMA"), found.get("cHRM"), data[25] in (0, 4))


def _chromatic(gamma: bytes | None, primaries: bytes | None, grey: bool) -> bytes | None:
    """A profile of a gAMA and a cHRM chunk, None where they say sRGB or nothing that could be used."""
    curve, colours, white = icc.SRGB_CURVE, SRGB_PRIMARIES, D65
    if primaries and len(primaries) == 32 and not grey:
        x, y, *points = (value / 1e5 for value in struct.unpack(">8I", primaries))
        found = tuple(zip(points[::2], points[1::2], strict=True))
        if np.abs(np.array(((x, y), *found)) - np.array((D65, *SRGB_PRIMARIES))).max() > SAME_PLACE:
            colours, white = found, (x, y)
    # With sRGB's primaries, or none, 1 / 2.2 is what sRGB is written as by programs that know no chunk for it.
    told = struct.unpack(">I", gamma)[0] if gamma and len(gamma) == 4 else 0
    if told and not (colours is SRGB_PRIMARIES and abs(told - SRGB_GAMMA) < 500):
        curve = (1e5 / told,)
    if curve is icc.SRGB_CURVE and colours is SRGB_PRIMARIES:
        return None
    try:
        return cicp.chromatic("PNG colours", colours, white, curve, grey)
    except (ValueError, struct.error, OverflowError):
        return None


def _profile(content: bytes) -> bytes | None:
    _, _, rest = content.partition(b"\0")
    try:
        return inflate(rest[1:], MOST_PROFILE) or None
    except ValueError:
        return None


def _raw_exif(kind: str, content: bytes) -> bytes | None:
    """EXIF written as text: a name, the length in bytes, and hexadecimal digits, on lines of their own."""
    keyword, _, text = content.partition(b"\0")
    if keyword not in (RAW_PROFILE + b"exif", RAW_PROFILE + b"APP1"):
        return None
    try:
        lines = (inflate(text[1:], MOST_PROFILE) if kind == "zTXt" else text).split(b"\n", 3)
        return bytes.fromhex(lines[3].decode("ascii")) or None
    except (ValueError, IndexError):
        return None


def _xmp(content: bytes) -> bytes | None:
    """The text of an international text chunk: keyword, compression flag and method, language, translated keyword, text."""
    rest = content[len(XMP_KEYWORD) + 1 :]
    fields = rest[2:].split(b"\0", 2)
    if len(fields) != 3:
        return None
    try:
        return (inflate(fields[2], MOST_PROFILE) if rest[:1] == b"\1" else fields[2]) or None
    except ValueError:
        return None


def header_chunks(
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
    extra: Iterable[tuple[str, bytes]],
) -> bytes:
    """Every chunk that stands between IHDR and the pixels. An embedded profile replaces an sRGB chunk, as the standard asks."""
    out: list[bytes] = []
    extra = tuple(extra)
    out += [
        chunk(kind, content) for kind, content in extra if kind in COLOUR_CHUNKS and not (profile and kind == "sRGB")
    ]
    if profile:
        out.append(chunk("iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if dpi:
        out.append(chunk("pHYs", struct.pack(">IIB", *(max(1, round(d / METRE)) for d in dpi), 1)))
    if exif:
        out.append(chunk("eXIf", exif))
    if xmp:
        out.append(chunk("iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + xmp))
    out += [chunk(kind, content) for kind, content in extra if kind in TEXT_CHUNKS]
    return b"".join(out)
