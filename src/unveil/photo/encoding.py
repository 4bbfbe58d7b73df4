"""From samples to the bytes of a file, one function per format."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unveil.errors import InputError
from unveil.photo.picture import QUALITY, Picture, save
from unveil.util.quiet import quiet

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
        from unveil.photo import avif_write

        return DEPTHS[format] if avif_write.library() is not None else (8,)
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
        from unveil.photo import tiff_write

        return tiff_write.encode
    if format in ("AVIF", "HEIF"):
        from unveil.photo import boxed

        return boxed.encode_avif if format == "AVIF" else boxed.encode_heif
    if format in ("PNG", "WEBP", "BMP"):
        return {"PNG": _png, "WEBP": _webp, "BMP": _bmp}[format]
    from unveil.photo import modern

    modern_ones = {
        "JXL": modern.encode_jxl, "JP2": modern.encode_jp2, "GIF": modern.encode_gif, "PNM": modern.encode_netpbm,
    }  # fmt: skip
    return modern_ones[format]


def _png(picture: Picture) -> bytes:
    from unveil.photo import png, png_pixels

    extra = tuple(piece for piece in picture.extra if piece[0] in png.COLOUR_CHUNKS + png.TEXT_CHUNKS)
    head = png.header_chunks(picture.icc, picture.exif, picture.xmp, picture.dpi, extra)
    samples = picture.samples
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    return png_pixels.encode(samples, head)


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
        from unveil.photo import bmp

        colours = np.broadcast_to(picture.samples, (*picture.samples.shape[:2], 3))
        return bmp.encode_rgba(np.concatenate([colours, picture.alpha[..., None]], axis=2), picture.dpi)
    return save(picture, "BMP", {})
