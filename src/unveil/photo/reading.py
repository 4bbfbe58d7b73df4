"""Reading a photograph: header, limits, decoder, orientation, colour."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from unveil.errors import InputError
from unveil.photo import exif, pillow, png, png_pixels, tiff_read
from unveil.photo.header import Header, check_size, probe
from unveil.photo.orientation import upright
from unveil.photo.quiet import quiet
from unveil.photo.record import Decoded, Photo
from unveil.photo.source import load
from unveil.photo.spaces import Space, space_for

MAX_PIXELS = 200_000_000
# Pixels converted at a time: large enough for vector speed, small enough that temporaries do not matter.
CHUNK = 1 << 18
# Highlights of a float picture may exceed white, which is 1; half of a picture does not exceed it four times over.
FAR_ABOVE_WHITE = 4


def read(source: str | Path | bytes | BinaryIO, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a JPEG, PNG, WebP, TIFF, AVIF, BMP or HEIC as an upright photograph in sRGB.

    source: a path, the file's bytes, or a binary stream. max_pixels: refuse larger pictures from their header, before decoding.
    Floating-point TIFFs are taken as display values in [0, 1]; what lies outside is clipped in `pixels` and kept in `native`.

    Raises InputError, with the file's name, what is wrong and what to do: missing, unreadable, empty, not an image, damaged, cut
    short, too large, an animation, several pages, or a kind of samples that is not read.
    """
    name, data = load(source, max_pixels)
    header = probe(name, data, max_pixels)
    try:
        with quiet(), np.errstate(over="ignore", invalid="ignore"):
            found = _decode(data, header)
            check_size(name, found.samples.shape[1], found.samples.shape[0], max_pixels)
            return _photo(name, header, found)
    except InputError:
        raise
    except MemoryError:
        raise InputError(
            f"{name}: {header.width} x {header.height} pixels do not fit into memory; close other programs or reduce the picture first"
        ) from None
    except (
        Exception
    ) as error:  # Decoders raise anything on damaged files; a folder of photographs must survive all of it.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name}: cannot be read as {header.format}: {reason[:300]}; if it opens elsewhere, save it again there"
        ) from error


def _decode(data: bytes, header: Header) -> Decoded:
    if header.format == "TIFF":
        return tiff_read.decode(data, header)
    if header.format != "PNG":
        return pillow.decode(data, header)
    about = png.Metadata(data)
    if about.animated:
        raise ValueError("it is an animation; take single frames out of it first")
    if header.bits == 16:
        samples, alpha = png_pixels.decode16(data)
        mode = ("L" if samples.shape[2] == 1 else "RGB") + ("" if alpha is None else "A")
        found = Decoded(samples, mode, alpha)
    else:
        found = pillow.decode(data, header)
    found.icc, found.exif, found.xmp = about.icc, exif.bare(about.exif), about.xmp
    found.dpi, found.extra = about.dpi, about.extra
    return found


def _photo(name: str, header: Header, found: Decoded) -> Photo:
    turn = exif.orientation(found.exif) if found.orientation is None else found.orientation
    samples = upright(found.samples, turn)
    alpha = None if found.alpha is None else upright(found.alpha, turn)
    kind = found.alpha_kind if alpha is not None else "straight"
    space, notes = space_for(samples.shape[2], found.icc)
    floats = samples.dtype.kind == "f"
    if floats:
        _check_range(name, samples)
    plain = space is None and not floats and kind != "premultiplied"
    return Photo(
        pixels=working(samples, alpha if kind == "premultiplied" else None, space),
        alpha=alpha,
        grey=samples.shape[2] == 1,
        depth=32 if floats else samples.dtype.itemsize * 8,
        format=header.format,
        mode=found.mode,
        source=name,
        icc=found.icc,
        exif=found.exif,
        xmp=found.xmp,
        dpi=pillow.sane_dpi(found.dpi),
        jpeg=found.jpeg,
        lossless=found.lossless,
        orientation=turn,
        alpha_kind=kind,
        native=None if plain else samples,
        space=space,
        extra=found.extra,
        notes=(*found.notes, *notes),
    )


def _check_range(name: str, samples: np.ndarray) -> None:
    """Floats that mostly lie far above white were meant on another scale; guessing which one would often be wrong."""
    sample = samples[:: max(1, samples.shape[0] // 512), :: max(1, samples.shape[1] // 512)]
    above = float(np.mean(sample > FAR_ABOVE_WHITE))
    if above > 0.5:
        raise InputError(
            f"{name}: {above:.0%} of its floating-point samples are above {FAR_ABOVE_WHITE} (largest {float(np.nanmax(sample)):g}); "
            "divide them by their white level first, so that white is 1"
        )


def unit(samples: np.ndarray) -> np.ndarray:
    """Samples of any type as float32: integers divided by their maximum, floats as they are with nan as 0."""
    if samples.dtype.kind == "f":
        return np.nan_to_num(samples.astype(np.float32), nan=0.0)
    return np.divide(samples, np.float32(np.iinfo(samples.dtype).max), dtype=np.float32)


def straight(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours from colours that were multiplied by alpha, both as `unit` gives them; black where nothing shows."""
    share = alpha[..., None]
    return np.where(share > 0, samples / np.maximum(share, np.float32(1e-6)), 0)


def working(samples: np.ndarray, alpha: np.ndarray | None, space: Space | None) -> np.ndarray:
    """(H, W, 3) float32 sRGB in [0, 1] of a file's samples (H, W, C). alpha: only where the colours are multiplied by it."""
    height, width, channels = samples.shape
    if space is None and alpha is None and samples.dtype.kind != "f":
        return np.ascontiguousarray(np.broadcast_to(unit(samples), (height, width, 3)))
    out = np.empty((height, width, 3), np.float32)
    rows = max(1, CHUNK // width)
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        values = unit(samples[part])
        if alpha is not None:
            values = straight(values, unit(alpha[part]))
        values = np.clip(values, 0, 1)
        if space is not None:
            values = space.to_srgb(values.reshape(-1, channels)).reshape(*values.shape[:2], 3)
        out[part] = np.clip(values, 0, 1)
    return out
