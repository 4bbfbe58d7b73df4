"""Format, size and bit depth of a file, from its header alone: what is checked before anything is decoded."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from unveil.errors import InputError
from unveil.photo import jpeg
from unveil.util.words import pixels

# The 16-bit PNG decoder takes one step per row and column; longer sides are panoramas of nothing or attacks.
LONGEST_SIDE = 300_000

OTHERS = (
    (b"8BPS", "a Photoshop document"), (b"%PDF", "a PDF"), (b"PK\x03\x04", "a zip archive"),
    (b"<svg", "an SVG drawing"), (b"<?xml", "an XML document"), (b"<!DOC", "a web page"), (b"<html", "a web page"),
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """format as in Photo.format; width and height as stored, before orientation; bits per sample; grey where it is known."""

    format: str
    width: int
    height: int
    bits: int
    grey: bool = False
    lossless: bool = True


def probe(name: str, data: bytes, max_pixels: int) -> Header:
    """The header of the photograph in `data`. Raises InputError: no photograph, cut short, or over `max_pixels`."""
    kind = sniff(data)
    if kind in ("TIFF", None):
        from unveil.photo import raw

        kind = "RAW" if raw.is_raw(data) else kind
    if kind is None:
        other = next((text for start, text in OTHERS if data[:64].lstrip().startswith(start)), None)
        what = f"is {other}, which is not read here" if other else "is not an image"
        raise InputError(f"{name}: {what}; give a JPEG, PNG, WebP, TIFF, AVIF, HEIC, JPEG XL, BMP, GIF or camera raw")
    try:
        header = _PROBES[kind](data)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except (ValueError, struct.error, IndexError) as error:
        if kind == "RAW":
            raise InputError(f"{name}: a camera raw file: {error}") from None
        raise InputError(
            f"{name}: the {kind} header is damaged or cut short ({error}); copy the file again from its source"
        ) from None
    check_size(name, header.width, header.height, max_pixels)
    return header


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Raises InputError where a side is zero or absurd, or where width x height is over `max_pixels`."""
    if width < 1 or height < 1:
        raise InputError(f"{name}: the header says {width} x {height} pixels; the file is damaged")
    if width * height > max_pixels:
        raise InputError(
            f"{name}: {width} x {height} is {pixels(width * height)}, over the limit of {pixels(max_pixels)}; "
            f"if you trust the file, raise it with --max-pixels {width * height}"
        )
    if max(width, height) > LONGEST_SIDE:
        raise InputError(f"{name}: {width} x {height} has a side over {LONGEST_SIDE} pixels; cut it into pieces first")


_STARTS = {
    "JPEG": (b"\xff\xd8\xff",), "PNG": (b"\x89PNG\r\n\x1a\n",), "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "BMP": (b"BM",),
    "GIF": (b"GIF87a", b"GIF89a"), "JXL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "JP2": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}  # fmt: skip
"""What the files of a format begin with."""


def sniff(data: bytes) -> str | None:
    """The format by its first bytes, whatever the file is called; None where it is none of ours."""
    for kind, starts in _STARTS.items():
        if data.startswith(starts):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if _is_dib(data):
        return "BMP"
    from unveil.photo import isobmff, netpbm, raw

    if netpbm.starts(data):
        return "PNM"
    if data.startswith(raw.STARTS) or data[4:12] == b"ftyp" + isobmff.CANON_RAW:
        return "RAW"
    return isobmff.brand(data)


def _jpeg(data: bytes) -> Header:
    width, height, bits = jpeg.frame(data)
    return Header("JPEG", width, height, bits, lossless=False)


def _png(data: bytes) -> Header:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ValueError("no IHDR")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    return Header("PNG", width, height, bits)


def _webp(data: bytes) -> Header:
    """RFC 9649: the canvas of the extended format, or the frame's own header; lossless where the picture is a VP8L chunk."""
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WEBP", width & 0x3FFF, height & 0x3FFF, 8, lossless=False)
    if kind == b"VP8L" and data[20] == 0x2F:
        (packed,) = struct.unpack_from("<I", data, 21)
        return Header("WEBP", (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, 8)
    if kind == b"VP8X" and len(data) >= 30:
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return Header("WEBP", width, height, 8, lossless=_has_lossless_chunk(data))
    raise ValueError("no frame")


def _has_lossless_chunk(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        if data[at : at + 4] == b"VP8L":
            return True
        (size,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + size + (size & 1)
    return False


def _tiff(data: bytes) -> Header:
    from unveil.photo import exif, tiff

    block = exif.open_tiff(data)
    tags = tiff.pages(block).tags
    width, height = block.integer(tags, 256, 0), block.integer(tags, 257, 0)
    bits = block.integers(tags, 258) or (1,)
    return Header("TIFF", width, height, max(bits))


def _is_dib(data: bytes) -> bool:
    """Whether a BMP begins that has no file header: with the size of its information, one plane, and a depth that there is."""
    return data[:4] in (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0") and data[12:16] in _DIB_DEPTHS


_DIB_DEPTHS = tuple(struct.pack("<HH", 1, bits) for bits in (1, 4, 8, 16, 24, 32))


def _bmp(data: bytes) -> Header:
    at = 14 if data.startswith(b"BM") else 0
    (size,) = struct.unpack_from("<I", data, at)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, at + 4)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, at + 4)
    return Header("BMP", width, abs(height), 8 if bits >= 8 else bits)


def _boxed(data: bytes) -> Header:
    from unveil.photo import isobmff

    width, height, bits, grey = isobmff.properties(data)
    return Header(isobmff.brand(data) or "AVIF", width, height, bits, grey, lossless=False)


def _gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("GIF", width, height, 8)


def _netpbm(data: bytes) -> Header:
    from unveil.photo import netpbm

    mark, width, height, top, _ = netpbm.head(data)
    return Header("PNM", width, height, 32 if mark in (b"PF", b"Pf") else 16 if top > 255 else 8)


def _jp2(data: bytes) -> Header:
    """The size marker of the codestream (ITU-T T.800, A.5.1), wherever boxes put it."""
    at = data.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    return Header("JP2", right - left, bottom - top, (data[at + 42] & 0x7F) + 1)


def _jxl(data: bytes) -> Header:
    """Its header is a stream of bits, which its plugin reads."""
    from unveil.photo.modern import jxl_plugin

    try:
        with jxl_plugin().JXLImageFile(io.BytesIO(data)) as image:
            return Header("JXL", image.width, image.height, 8)
    except (OSError, SyntaxError, RuntimeError) as error:
        raise ValueError(str(error)) from None


def _raw(data: bytes) -> Header:
    from unveil.photo import raw

    return Header("RAW", *raw.size(data), 16)


_PROBES = {
    "JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "TIFF": _tiff, "BMP": _bmp, "AVIF": _boxed, "HEIF": _boxed,
    "GIF": _gif, "PNM": _netpbm, "JP2": _jp2, "JXL": _jxl, "RAW": _raw,
}  # fmt: skip
