"""From samples to the bytes of a file: what is handed to the encoders, and one function per format."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from unveil.errors import InputError
from unveil.photo.record import JpegSettings
from unveil.util.extras import codecs
from unveil.util.quiet import quiet

# At this quality the format's own loss lies below what restoration changes; the source's own quality is kept where it is better.
QUALITY = 95
# What x265 is built for, and what every decoder of AVIF takes; deeper samples are rounded to it.
BOXED_BITS = 10


@dataclass
class Picture:
    """What is to be encoded. samples: (H, W, C), C = 1 grey, 3 RGB, 4 CMYK; alpha: (H, W) of the same type or None.

    others: (H, W, N) further channels of the same type, for TIFF.
    bits: that 16-bit samples really have, 0 for all.
    """

    samples: np.ndarray
    alpha: np.ndarray | None = None
    alpha_kind: str = "straight"
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    jpeg: JpegSettings | None = None
    bits: int = 0
    lossless: bool = True
    others: np.ndarray | None = None
    extra: tuple[tuple[str, bytes], ...] = ()
    notes: list[str] = field(default_factory=list)


def image_of(picture: Picture) -> Image.Image:
    """The picture as Pillow takes it."""
    if picture.alpha is not None:
        colours = np.broadcast_to(picture.samples, (*picture.samples.shape[:2], 3))
        return Image.fromarray(np.concatenate([colours, picture.alpha[..., None]], axis=2))
    samples = np.ascontiguousarray(picture.samples)
    if samples.shape[2] == 1:
        return Image.fromarray(samples[..., 0])
    return Image.frombytes({3: "RGB", 4: "CMYK"}[samples.shape[2]], samples.shape[1::-1], samples.tobytes())


def save(picture: Picture, format: str, options: dict) -> bytes:
    """The bytes of a format that Pillow writes."""
    if picture.icc and format != "BMP":
        options["icc_profile"] = picture.icc
    if picture.dpi and format in ("JPEG", "BMP"):
        options["dpi"] = picture.dpi
    out = io.BytesIO()
    image_of(picture).save(out, format, **options)
    return out.getvalue()


HEADER = 108
MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
INCHES_PER_METRE = 39.3701


def encode_rgba(samples: np.ndarray, dpi: tuple[float, float] | None) -> bytes:
    """A BMP of (H, W, 4) uint8 RGBA samples."""
    height, width = samples.shape[:2]
    offset, size = 14 + HEADER, width * height * 4
    density = [round(d * INCHES_PER_METRE) for d in dpi or (0.0, 0.0)]
    file_header = struct.pack("<2sIHHI", b"BM", offset + size, 0, 0, offset)
    # 3: the masks that follow say which bits are which colour.
    info = struct.pack("<IiiHHIIiiII", HEADER, width, height, 1, 32, 3, size, *density, 0, 0)
    space = struct.pack("<4I4s", *MASKS, b"BGRs") + bytes(36 + 12)
    rows = np.ascontiguousarray(samples[::-1, :, [2, 1, 0, 3]])
    return file_header + info + space + rows.tobytes()


# The longest side, or 0; depths; whether alpha, grey and CMYK can be held.
LIMITS = {"JPEG": 65535, "GIF": 65535, "WEBP": 16383, "AVIF": 32768, "HEIF": 32768}
DEPTHS = {"PNG": (8, 16), "TIFF": (8, 16, 32), "HEIF": (8, 16), "AVIF": (8, 16), "JP2": (8, 16), "PNM": (8, 16, 32)}
# Formats whose libraries take no profile.
SRGB_ONLY = ("JXL", "GIF", "BMP", "PNM")
NO_ALPHA, INK_FORMATS = ("JPEG", "PNM"), ("JPEG", "TIFF")
GREY_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "AVIF", "HEIF", "JXL", "JP2", "GIF", "PNM")


def depths(format: str) -> tuple[int, ...]:
    """Bits per sample that a format is written with here."""
    if format == "AVIF":
        return DEPTHS[format] if codecs("AVIF") is not None else (8,)
    return DEPTHS.get(format, (8,))


def encode(picture: Picture, format: str) -> bytes:
    """The bytes of `picture` in `format`. Raises InputError where the format cannot hold a picture of this size."""
    height, width = picture.samples.shape[:2]
    longest = LIMITS.get(format, 0)
    if longest and max(height, width) > longest:
        raise InputError(
            f"{format} holds at most {longest} pixels a side, the picture has {width} x {height}; write TIFF or PNG instead"
        )
    with quiet():
        return _encoder(format)(picture)


def _encoder(format: str) -> Callable[[Picture], bytes]:
    """What writes a format; the others are never loaded."""
    if format == "JPEG":
        from unveil.photo import jpeg_write

        return jpeg_write.encode
    if format == "TIFF":
        from unveil.photo import tiff

        return tiff.encode
    if format in ("AVIF", "HEIF"):
        from unveil.photo import heif

        return heif.encode_avif if format == "AVIF" else heif.encode_heif
    if format in ("PNG", "WEBP", "BMP"):
        return {"PNG": _png, "WEBP": _webp, "BMP": _bmp}[format]
    from unveil.photo import modern

    modern_ones = {
        "JXL": modern.encode_jxl, "JP2": modern.encode_jp2, "GIF": modern.encode_gif, "PNM": modern.encode_netpbm,
    }  # fmt: skip
    return modern_ones[format]


def _png(picture: Picture) -> bytes:
    from unveil.photo import png

    extra = tuple(piece for piece in picture.extra if piece[0] in png.COLOUR_CHUNKS + png.TEXT_CHUNKS)
    head = png.header_chunks(picture.icc, picture.exif, picture.xmp, picture.dpi, extra)
    samples = picture.samples
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    return png.encode(samples, head)


def _webp(picture: Picture) -> bytes:
    # exact: colours under full transparency are samples too. alpha_quality 100 keeps alpha as it is even in lossy files.
    options = {
        "lossless": picture.lossless,
        "quality": 80 if picture.lossless else QUALITY,
        "exact": True,
        "alpha_quality": 100,
    }
    return save(picture, "WEBP", {**options, "method": 4, "exif": picture.exif or b"", "xmp": picture.xmp or b""})


def _bmp(picture: Picture) -> bytes:
    if picture.exif or picture.xmp or picture.icc:
        picture.notes.append("metadata and colour profile left out: BMP holds none")
    if picture.alpha is not None:
        colours = np.broadcast_to(picture.samples, (*picture.samples.shape[:2], 3))
        return encode_rgba(np.concatenate([colours, picture.alpha[..., None]], axis=2), picture.dpi)
    return save(picture, "BMP", {})
