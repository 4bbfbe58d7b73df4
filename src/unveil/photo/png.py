"""PNG (W3C PNG, third edition): its chunks, its metadata, its row filters and its pixels.

Pillow cannot decode 16 bits in colour, and writes neither those nor every chunk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from unveil.photo import icc, pillow
from unveil.photo.header import Header
from unveil.photo.record import Decoded, NotRead, parted
from unveil.photo.srgb import D65, SRGB_PRIMARIES
from unveil.util.exif import MOST_PROFILE, RAW_PROFILE, bare, inflate, of_text
from unveil.util.extras import codecs

NONE, SUB, UP, AVERAGE, PAETH = range(5)


def unfilter(rows: np.ndarray, bpp: int) -> np.ndarray:
    """Undo the filters. rows: (H, 1 + W * bpp) uint8, each row led by its filter's number; returns (H, W * bpp) uint8.

    Average and Paeth need the finished bytes to the left, above and above left, which seems to force a loop over pixels. But all
    pixels on one anti-diagonal x + y = d need only the two diagonals before it, so the picture is swept in H + W vector steps.
    Raises ValueError for an unknown filter.
    """
    kinds = rows[:, 0]
    if kinds.max(initial=0) > PAETH:
        raise ValueError(f"unknown row filter {kinds.max()}")
    height, width = rows.shape[0], (rows.shape[1] - 1) // bpp
    # One row and one pixel of zeros stand for what lies outside the picture.
    out = np.zeros((height + 1, width + 1, bpp), np.uint8)
    out[1:, 1:] = rows[:, 1:].reshape(height, width, bpp)
    if (kinds >= AVERAGE).any():
        _sweep(out, kinds)
    else:
        _by_rows(out, kinds)
    return out[1:, 1:].reshape(height, width * bpp)


def _by_rows(out: np.ndarray, kinds: np.ndarray) -> None:
    """Without Average and Paeth a whole row is one cumulative or one plain sum."""
    for y, kind in enumerate(kinds, start=1):
        if kind == SUB:
            np.cumsum(out[y], axis=0, dtype=np.uint8, out=out[y])
        elif kind == UP:
            out[y] += out[y - 1]


def _sweep(out: np.ndarray, kinds: np.ndarray) -> None:
    height, width, bpp = out.shape[0] - 1, out.shape[1] - 1, out.shape[2]
    # Masks of 0 and -1 choose each row's predictor without branching; one column per row, broadcast over bytes.
    masks = [np.where(kinds == kind, -1, 0).astype(np.int16)[:, None] for kind in (SUB, UP, AVERAGE, PAETH)]
    flat = out.reshape(-1)
    row_bytes = (width + 1) * bpp

    def diagonal(d: int, first: int, count: int) -> np.ndarray:
        """(count, bpp) view of the padded picture's pixels (x = d - y, y) for y from `first` on."""
        start = first * row_bytes + (d - first) * bpp
        return np.lib.stride_tricks.as_strided(flat[start:], (count, bpp), (row_bytes - bpp, 1))

    for d in range(2, height + width + 1):
        top = max(1, d - width)
        count = min(height, d - 1) - top + 1
        here = diagonal(d, top, count)
        left = diagonal(d - 1, top, count).astype(np.int16)
        up = diagonal(d - 1, top - 1, count).astype(np.int16)
        corner = diagonal(d - 2, top - 1, count).astype(np.int16)
        sub, above, average, paeth = (mask[top - 1 : top - 1 + count] for mask in masks)
        predicted = (left & sub) | (up & above) | (((left + up) >> 1) & average) | (_paeth(left, up, corner) & paeth)
        here += predicted.astype(np.uint8)


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Whichever of the three is nearest to left + up - corner; ties go to left, then up."""
    to_left = np.abs(up - corner)
    to_up = np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))


def choose(rows: np.ndarray, above: np.ndarray, bpp: int) -> np.ndarray:
    """Filter each row with the filter that leaves the smallest sum of absolute (signed) bytes, the standard's own advice.

    rows: (H, W * bpp) uint8; above: (W * bpp,) uint8, the row before the first one (zeros at the top). Returns (H, 1 + W * bpp).
    """
    height, length = rows.shape
    up = np.concatenate([above[None], rows[:-1]])
    left = np.zeros_like(rows)
    left[:, bpp:] = rows[:, :-bpp]
    corner = np.zeros_like(rows)
    corner[:, bpp:] = up[:, :-bpp]
    wide = [a.astype(np.int16) for a in (left, up, corner)]
    best = np.full(height, np.iinfo(np.int64).max)
    out = np.empty((height, 1 + length), np.uint8)
    for kind in (UP, SUB, PAETH, AVERAGE, NONE):
        if kind == NONE:
            candidate = rows
        elif kind == SUB:
            candidate = rows - left
        elif kind == UP:
            candidate = rows - up
        elif kind == AVERAGE:
            candidate = rows - ((wide[0] + wide[1]) >> 1).astype(np.uint8)
        else:
            candidate = rows - _paeth(*wide).astype(np.uint8)
        cost = np.minimum(candidate, 0 - candidate).sum(axis=1, dtype=np.int64)
        better = cost < best
        best[better] = cost[better]
        out[better, 0] = kind
        out[better, 1:] = candidate[better]
    return out


SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
# Carried as they are: what the samples mean, and what somebody wrote about them. Text is dropped with the other metadata.
COLOUR_CHUNKS = ("cHRM", "gAMA", "sRGB", "cICP", "sBIT")
TEXT_CHUNKS = ("tEXt", "zTXt", "iTXt")
# Metadata as hexadecimal text, from before PNG had chunks for it, and still written by some programs.
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
                older = older or of_text(kind, content)
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
        return icc.chromatic("PNG colours", colours, white, curve, grey)
    except (ValueError, struct.error, OverflowError):
        return None


def _profile(content: bytes) -> bytes | None:
    _, _, rest = content.partition(b"\0")
    try:
        return inflate(rest[1:], MOST_PROFILE) or None
    except ValueError:
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


CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
COLOUR_TYPES = {channels: kind for kind, channels in CHANNELS.items()}
# The seven passes of interlacing (Adam7): first column, first row, and the distances between columns and rows.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
COMPRESSION = 5
BAND = 64
# The signature and the header chunk.
_AFTER_HEADER = 33


def decode(data: bytes, header: Header) -> Decoded:
    """Samples and metadata, of 16 bits too. Raises ValueError, or whatever Pillow's decoders raise."""
    about = Metadata(data)
    if about.animated:
        raise NotRead("it is an animation; take single frames out of it first")
    if header.bits == 16:
        samples, alpha = decode16(data)
        found = Decoded(samples, ("L" if samples.shape[2] == 1 else "RGB") + ("" if alpha is None else "A"), alpha)
    else:
        found = pillow.decode(data, header)
    found.icc, found.exif, found.xmp, found.cicp = about.icc, bare(about.exif), about.xmp, about.cicp
    found.cicp_first = True
    found.dpi, found.extra = about.dpi, about.extra
    return found


def decode16(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour samples (H, W, 1 or 3) and alpha (H, W) or None, uint16, of a 16-bit PNG; a transparent colour becomes alpha.

    Raises ValueError: not 16-bit, damaged, or cut short.
    """
    header, transparent, body, ended = _collect(data)
    library = codecs("PNG")
    if library is not None and transparent is None and ended:
        try:
            samples = library.png_decode(data)
        except RuntimeError:  # the slower way says in words what is wrong
            samples = None
        if samples is not None and samples.dtype == np.uint16:
            return parted(samples)
    width, height, bits, colour, compression, method, interlace = struct.unpack(">IIBBBBB", header)
    if bits != 16 or colour not in CHANNELS or compression or method or interlace > 1:
        raise ValueError(f"unknown kind of PNG (depth {bits}, colour type {colour}, interlace {interlace})")
    channels = CHANNELS[colour]
    if interlace:
        samples = _interlaced(body, width, height, channels)
    else:
        samples = _rows(_inflate(body, height * (1 + width * channels * 2)), width, height, channels)
    if not ended:
        raise ValueError("no end marker; the file is cut short")
    if transparent is not None and channels in (1, 3) and len(transparent) == 2 * channels:
        key = np.array(struct.unpack(f">{channels}H", transparent), np.uint16)
        return samples, np.where((samples == key).all(axis=-1), 0, 65535).astype(np.uint16)
    return parted(samples)


def _collect(data: bytes) -> tuple[bytes, bytes | None, list[bytes], bool]:
    header, transparent, body, ended = b"", None, [], False
    for kind, content, sound in chunks(data):
        if not sound and kind in ("IHDR", "IDAT", "tRNS"):
            raise ValueError(f"wrong checksum in {kind}")
        if kind == "IHDR" and len(content) == 13:
            header = content
        elif kind == "tRNS":
            transparent = content
        elif kind == "IDAT":
            body.append(content)
        elif kind == "IEND":
            ended = True
    if not header or not body:
        raise ValueError("no pixels; the file is cut short")
    return header, transparent, body, ended


def _inflate(body: list[bytes], size: int) -> np.ndarray:
    """Exactly `size` bytes of the stream that the pieces form together; never more are unpacked, whatever it claims to hold."""
    decoder = zlib.decompressobj()
    parts: list[bytes] = []
    left = size
    try:
        for piece in body:
            parts.append(decoder.decompress(piece, left))
            left -= len(parts[-1])
            if not left:
                break
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if left:
        raise ValueError("pixels are missing; the file is cut short")
    return np.frombuffer(b"".join(parts), np.uint8)


def _rows(raw: np.ndarray, width: int, height: int, channels: int) -> np.ndarray:
    bpp = channels * 2
    plain = unfilter(raw.reshape(height, 1 + width * bpp), bpp)
    return plain.view(">u2").astype(np.uint16).reshape(height, width, channels)


def _interlaced(body: list[bytes], width: int, height: int, channels: int) -> np.ndarray:
    sizes = [(max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))) for x, y, dx, dy in ADAM7]
    lengths = [h * (1 + w * channels * 2) if w and h else 0 for w, h in sizes]
    raw = _inflate(body, sum(lengths))
    out = np.empty((height, width, channels), np.uint16)
    at = 0
    for (x, y, dx, dy), (w, h), length in zip(ADAM7, sizes, lengths, strict=True):
        if length:
            out[y::dy, x::dx] = _rows(raw[at : at + length], w, h, channels)
        at += length
    return out


def encode(samples: np.ndarray, head: bytes = b"") -> bytes:
    """A PNG of (H, W, C) uint8 or uint16 samples; C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. head: chunks put before the pixels."""
    library = codecs("PNG")
    if library is not None:
        try:
            whole = library.png_encode(
                np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples),
                level=4,
                strategy=zlib.Z_RLE,
            )
            return whole[:_AFTER_HEADER] + head + whole[_AFTER_HEADER:]
        except RuntimeError:
            pass  # it has too little room for pictures of one column
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8
    bpp = channels * samples.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[channels], 0, 0, 0)
    out = [SIGNATURE, chunk("IHDR", header), head]
    packer = zlib.compressobj(COMPRESSION, strategy=zlib.Z_RLE)
    above = np.zeros(width * bpp, np.uint8)
    for top in range(0, height, BAND):
        band = np.ascontiguousarray(samples[top : top + BAND]).astype(samples.dtype.newbyteorder(">"), copy=False)
        rows = np.ascontiguousarray(band).view(np.uint8).reshape(-1, width * bpp)
        piece = packer.compress(choose(rows, above, bpp).tobytes())
        if piece:
            out.append(chunk("IDAT", piece))
        above = rows[-1]
    out += [chunk("IDAT", packer.flush()), chunk("IEND", b"")]
    return b"".join(out)
