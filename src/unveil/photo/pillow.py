"""Decoding through Pillow: everything with 8 bits per sample."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from unveil.photo import exif, jpeg
from unveil.photo.header import Header
from unveil.photo.record import Decoded, JpegSettings, NotRead
from unveil.util.extras import needed
from unveil.util.quiet import unlimited

# The readers themselves rather than Image.open, which would apply its own limit on pixels and try every other format too.
READERS = {"JPEG": "Jpeg", "PNG": "Png", "WEBP": "WebP", "TIFF": "Tiff", "BMP": "Bmp", "AVIF": "Avif"}
# Those that look at Pillow's limit themselves.
LIMITED = ("WEBP", "TIFF")
SAMPLINGS: dict[tuple[tuple[int, int], ...], int] = {
    ((1, 1), (1, 1), (1, 1)): 0,
    ((2, 1), (1, 1), (1, 1)): 1,
    ((2, 2), (1, 1), (1, 1)): 2,
}


def decode(data: bytes, header: Header, deeper: Callable[[], Decoded] | None = None) -> Decoded:
    """Samples as (H, W, C) uint8 and the metadata that Pillow finds. Raises ValueError, or whatever Pillow's decoders raise.

    deeper: gives the samples in Pillow's stead, where it would lose their depth.
    """
    missing = header.format == "JPEG" and not jpeg.end(data)
    if missing:
        data += jpeg.END
    limited = header.width * header.height if header.format in LIMITED else 0
    with unlimited(limited), _reader(header.format, data)(io.BytesIO(data)) as image:
        if image.width * image.height > header.width * header.height:
            raise ValueError("it is larger than its header says")
        if header.format not in ("TIFF", "HEIF") and getattr(image, "n_frames", 1) > 1:
            raise NotRead("it is an animation; take single frames out of it first")
        if deeper is not None:
            found = deeper()
        else:
            image.load()
            if header.format == "PNG" and image.mode == "L" and data[24] < 8 and "transparency" in image.info:
                # Samples of 2 and 4 bits are widened, the transparent grey is not: findings/grey_keys_of_few_bits.sh
                image.info["transparency"] *= 255 // (2 ** data[24] - 1)
            found = plain(image)
        found.icc = image.info.get("icc_profile") or None
        if found.mode == "P" and found.samples.shape[2] == 1 and found.icc and found.icc[16:20] == b"RGB ":
            found.samples = np.repeat(found.samples, 3, axis=2)  # a palette of greys whose profile is one of colours
        found.exif = exif.bare(image.info.get("exif"))
        found.xmp = image.info.get("xmp") or None
        found.dpi = image.info.get("dpi")
        found.lossless = header.lossless
        if header.format == "HEIF":
            # HEIF's own rotation is already applied, and its EXIF orientation is there for information only.
            found.orientation = 1
        if header.format == "JPEG":
            found.jpeg = _jpeg_settings(image)
            found.extra = jpeg.extras(data)
            if missing:
                _check_complete(data, found.samples)
                found.notes += ("its end marker is missing; all of its picture is there",)
            _after_the_end(found, data, "mp" in image.info)
    return found


def _check_complete(data: bytes, samples: np.ndarray) -> None:
    """Raises ValueError where a JPEG whose end marker we set lacks data: what is missing is made up from the bytes that follow.

    So other bytes are put there; where they change nothing, nothing was missing.
    """
    body = data.removesuffix(jpeg.END)
    if not jpeg.has_every_scan(body):
        raise ValueError("scans are missing; the file is cut short")
    for filler in (b"\xaa\x55\x3c", b"\x01\x80\x7e"):
        other = io.BytesIO(body + filler * (samples.size // 64 + 64) + jpeg.END)
        with unlimited(0), JpegImagePlugin.JpegImageFile(other) as image:
            if not np.array_equal(plain(image).samples, samples):
                raise ValueError("pixels are missing; the file is cut short")


def _after_the_end(found: Decoded, data: bytes, several: bool) -> None:
    """The clip of a motion photo is carried on; a gain map, too, as long as it fits; further pictures are left out."""
    if not found.xmp and not several:
        return
    from unveil.photo import isobmff, metadata

    motion, gain = metadata.semantics(found.xmp)
    if several and not gain:
        found.left_out += ("the file holds further pictures (depth or a second view), which are left out",)
    at = jpeg.end(data)
    clip = isobmff.clip_in(data, at) if motion and at else None
    gained = data.find(b"\xff\xd8\xff", at, clip) if gain and at else -1
    if gained >= 0:
        found.extra += ((metadata.GAIN, data[gained:clip]),)
    if clip is not None:
        found.extra += ((metadata.TAIL, data[clip:]),)


def _reader(format: str, data: bytes) -> Any:
    if format != "HEIF":
        name = READERS[format]
        kind = "Dib" if name == "Bmp" and not data.startswith(b"BM") else name  # without a file header
        return getattr(import_module(f"PIL.{name}ImagePlugin"), f"{kind}ImageFile")
    return needed("pillow_heif", "HEIC needs a further package", "heic", ValueError).HeifImageFile


def plain(image: Image.Image | ImageFile.ImageFile) -> Decoded:
    """Samples, mode and alpha of a loaded image; palettes, bits and transparent colours resolved."""
    mode = image.mode
    if mode in ("P", "PA"):
        return _from_palette(image)
    if mode == "1":
        bits = np.asarray(image.convert("L"))[..., None]
        return Decoded(bits, "1", _key(bits, image.info.get("transparency")))
    if mode in ("YCbCr", "RGBX"):
        return Decoded(np.asarray(image.convert("RGB")), "RGB")
    if mode in ("L", "RGB", "CMYK"):
        samples = np.asarray(image)
        samples = samples[..., None] if samples.ndim == 2 else samples
        return Decoded(samples, mode, _key(samples, image.info.get("transparency")))
    if mode in ("LA", "RGBA"):
        samples = np.asarray(image)
        return Decoded(np.ascontiguousarray(samples[..., :-1]), mode, np.ascontiguousarray(samples[..., -1]))
    raise NotRead(f"its kind of samples ({mode}) is not read; convert it to RGB first")


def _from_palette(image: Image.Image) -> Decoded:
    transparent = image.mode == "PA" or "transparency" in image.info
    samples = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    colours = samples[..., :3]
    if (colours == colours[..., :1]).all():
        colours = colours[..., :1]
    return Decoded(np.ascontiguousarray(colours), "P", np.ascontiguousarray(samples[..., 3]) if transparent else None)


def _key(samples: np.ndarray, colour: Any) -> np.ndarray | None:
    """Alpha from a single transparent colour (PNG tRNS of grey and RGB)."""
    if colour is None:
        return None
    key = np.atleast_1d(np.asarray(colour))
    if key.shape != (samples.shape[2],):
        return None
    return np.where((samples == key).all(axis=-1), 0, 255).astype(np.uint8)


def _jpeg_settings(image: JpegImagePlugin.JpegImageFile) -> JpegSettings | None:
    tables, layers = image.quantization, image.layer
    if not layers or any(layer[3] not in tables for layer in layers):
        return None
    factors = tuple((layer[1], layer[2]) for layer in layers)
    return JpegSettings(
        tuple(tuple(tables[layer[3]]) for layer in layers),
        SAMPLINGS.get(factors, -1),
        bool(image.info.get("progressive")),  # type: ignore[call-overload]
    )


def sane_dpi(found: Any) -> tuple[float, float] | None:
    """A resolution that can be written again, or None."""
    try:
        x, y = (float(value) for value in found)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if all(math.isfinite(v) and 0.01 <= v <= 1e5 for v in (x, y)) else None
