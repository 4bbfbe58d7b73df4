"""From samples to the bytes of a file: what is handed to the encoders, and one function per format.

JPEG is never written coarser than the source, and with all of its metadata, its gain map turned as the picture is.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field, replace
from pkgutil import resolve_name

import numpy as np
from PIL import Image, JpegImagePlugin

from unveil.errors import InputError
from unveil.photo import exif, jpeg
from unveil.photo.exif import upright
from unveil.photo.pillow import plain
from unveil.photo.record import JpegSettings
from unveil.util.extras import codecs
from unveil.util.quiet import quiet, unlimited

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

    @property
    def whole(self) -> np.ndarray:
        """(H, W, C) samples, the last channel alpha where there is one."""
        return self.samples if self.alpha is None else np.concatenate([self.samples, self.alpha[..., None]], axis=2)

    @property
    def rgba(self) -> np.ndarray:
        """(H, W, 4) colours, grey ones too, and alpha, which must be there."""
        colours = np.broadcast_to(self.samples, (*self.samples.shape[:2], 3))
        return replace(self, samples=colours).whole


def image_of(picture: Picture) -> Image.Image:
    """The picture as Pillow takes it."""
    if picture.alpha is not None:
        return Image.fromarray(picture.rgba)
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
        return resolve_name(f"unveil.photo.{_ENCODERS[format]}")(picture)


_ENCODERS = {
    "JPEG": "encoding:encode_jpeg", "PNG": "encoding:_png", "WEBP": "encoding:_webp", "BMP": "encoding:_bmp", "TIFF": "tiff:encode",
    "AVIF": "heif:encode_avif", "HEIF": "heif:encode_heif", "JXL": "modern:encode_jxl", "JP2": "modern:encode_jp2",
    "GIF": "modern:encode_gif", "PNM": "modern:encode_netpbm",
}  # fmt: skip
"""The module of this room and the function in it that writes a format; those of the others are never loaded."""


def _png(picture: Picture) -> bytes:
    from unveil.photo import png

    extra = tuple(piece for piece in picture.extra if piece[0] in png.COLOUR_CHUNKS + png.TEXT_CHUNKS)
    head = png.header_chunks(picture.icc, picture.exif, picture.xmp, picture.dpi, extra)
    return png.encode(picture.whole, head)


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
        return encode_rgba(picture.rgba, picture.dpi)
    return save(picture, "BMP", {})


# Its parameters: XMP (APP1), or ISO 21496-1 (APP2).
_KEPT = (0xE1, 0xE2)


def turned_gain_map(data: bytes, orientation: int) -> bytes | None:
    """The small JPEG of a gain map, turned as EXIF's `orientation` says; None where it is no JPEG that can be.

    Its own quantisation is kept, so that little is lost, and so are its parameters, which do not depend on how it lies.
    """
    if orientation == 1:
        return data
    try:
        with unlimited(0):
            # Not as a context: what entering it returns is typed as any image file.
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
            image.load()
            tables = image.quantization
            samples = upright(plain(image).samples, orientation)
    except (OSError, SyntaxError, ValueError):
        return None
    if samples.shape[2] not in (1, 3):
        return None
    out = io.BytesIO()
    shown = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    shown.save(out, "JPEG", quality=-1, qtables=list(tables.values()), subsampling=0)
    kept = [(marker, payload) for marker, payload in jpeg.segments(data) if marker in _KEPT]
    head = b"".join(bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload for marker, payload in kept)
    return out.getvalue()[:2] + head + out.getvalue()[2:]


XMP_OVERHEAD = 29
# A source at least this good is written with its own quantisation.
GOOD = 90


def encode_jpeg(picture: Picture) -> bytes:
    """A JPEG of grey, RGB or CMYK samples; alpha must be gone. What is too long for it is left out and noted."""
    options = _compression(picture)
    kept = [piece for piece in picture.extra if len(piece[1]) <= jpeg.LONGEST_PAYLOAD]
    options["extra"] = b"".join(jpeg.segment(name, payload) for name, payload in kept if name in ("APP1", "APP13"))
    options["comment"] = next((payload for name, payload in kept if name == "COM"), None)
    if picture.exif and len(picture.exif) + len(exif.PREFIX) > jpeg.LONGEST_PAYLOAD:
        picture.notes.append("EXIF left out: JPEG holds at most 64 KB of it")
    elif picture.exif:
        options["exif"] = exif.PREFIX + picture.exif
    if picture.xmp and len(picture.xmp) + XMP_OVERHEAD > jpeg.LONGEST_PAYLOAD:
        picture.notes.append("XMP left out: JPEG holds at most 64 KB of it")
    elif picture.xmp:
        options["xmp"] = picture.xmp
    tail = _behind(picture) if picture.extra else b""
    try:
        return save(picture, "JPEG", options) + tail
    except OSError:
        # Pillow gives progressive files a buffer of two bytes per pixel, which noise at high quality exceeds. Same pixels without it.
        return save(picture, "JPEG", {**options, "progressive": False}) + tail


def _behind(picture: Picture) -> bytes:
    """A gain map and the clip of a motion photo, which lie behind the picture."""
    from unveil.photo import metadata

    return b"".join(payload for name, payload in picture.extra if name in (metadata.GAIN, metadata.TAIL))


def _compression(picture: Picture) -> dict:
    """Quality and subsampling, never coarser than the source.

    A good source keeps its own tables: the file stays as large as it was, and untouched blocks fall on the steps that they came from
    (mean CIEDE2000 0.01, against 0.4 with finer tables). A poor one gets finer tables, for its own would damage the restoration again.
    """
    source = picture.jpeg
    if source is None or len(source.tables) != picture.samples.shape[2]:
        return {"quality": QUALITY, "subsampling": 0}
    tables = [list(table) for table in source.tables]
    if sum(map(sum, tables)) > sum(map(sum, _tables(len(tables), GOOD))):
        pairs = zip(tables, _tables(len(tables), QUALITY), strict=True)
        tables = [[min(a, b) for a, b in zip(theirs, ours, strict=True)] for theirs, ours in pairs]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()  # the last table serves all further components
    # quality -1: take the tables as they are; any other value would scale them.
    return {
        "quality": -1,
        "qtables": tables,
        "subsampling": max(source.subsampling, 0),
        "progressive": source.progressive,
    }


def _tables(components: int, quality: int) -> list[list[int]]:
    """The encoder's own quantisation tables at a quality, one per component."""
    out = io.BytesIO()
    Image.new({1: "L", 4: "CMYK"}.get(components, "RGB"), (8, 8)).save(out, "JPEG", quality=quality)
    # Not as a context: what entering it returns is typed as any image file.
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(out.getvalue()))
    return [list(image.quantization[layer[3]]) for layer in image.layer]
