"""Writing a photograph back the way it came, or in another format, with new pixels; what was not changed stays exactly what it was."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from unveil.errors import InputError
from unveil.photo import exif, jpeg
from unveil.photo.encoding import BOXED_BITS, GREY_FORMATS, INK_FORMATS, NO_ALPHA, SRGB_ONLY, Picture, depths, encode
from unveil.photo.reading import CHUNK, straight, unit
from unveil.photo.record import Photo
from unveil.photo.srgb import LUMA
from unveil.util import atomic
from unveil.util.suffixes import FORMATS, RAW

# A colour outside sRGB (or a highlight above white) was clipped before the restorer saw it. What was clipped off is given back in
# full where the pixel is unchanged, and less and less until a change of a quarter of the range: a green that became grey must not
# keep the excess of its green.
EXCESS_GONE_AT = 0.25
# CMYK pixels that moved by less than half an 8-bit step keep their inks.
UNCHANGED = 0.5 / 255


def native_samples(photo: Photo, pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) samples in the file's own colour space and type for new `pixels`, (H, W, 3) float32, clipped to [0, 1].

    Where a pixel equals photo.pixels, its samples are those of the file, bit for bit. Elsewhere, with T from sRGB to the file's space,
    samples = T(new) + (1 - f) (old samples - T(old)), where f goes from 0 to 1 with the size of the change: neither a profile's
    rounding nor its gamut touches what the restorer did not.
    """
    height, width = pixels.shape[:2]
    if photo.native is None:
        dtype, channels = np.dtype(np.uint8 if photo.depth == 8 else np.uint16), 1 if photo.grey else 3
    else:
        dtype, channels = photo.native.dtype, photo.native.shape[2]
    out = np.empty((height, width, channels), dtype)
    rows = max(1, CHUNK // width)
    # Float files hold infinities and values that overflow; they come out as they went in.
    with np.errstate(over="ignore", invalid="ignore"):
        for top in range(0, height, rows):
            part = slice(top, top + rows)
            new = np.clip(pixels[part], 0, 1)
            if photo.native is None and not photo.grey:
                # In place: what is written again and again is what this takes its time for.
                np.rint(np.multiply(new, np.float32(np.iinfo(dtype).max), out=new), out=new)
                out[part] = new
            else:
                out[part] = _band(photo, part, new, dtype, channels)
    return out


def _band(photo: Photo, part: slice, new: np.ndarray, dtype: np.dtype, channels: int) -> np.ndarray:
    old = photo.pixels[part]
    top = np.float32(np.iinfo(dtype).max) if dtype.kind == "u" else np.float32(1)
    native = np.rint(old[..., :1] * top).astype(dtype) if photo.native is None else photo.native[part]
    before, after = _to_space(photo, old, channels), _to_space(photo, new, channels)
    moved = np.abs(new - old).max(axis=2, keepdims=True)
    if photo.space is not None and photo.space.replaces:
        return np.where(moved <= UNCHANGED, native, _quantised(after, dtype))
    share = None
    values = unit(native)
    if photo.alpha is not None and photo.alpha_kind == "premultiplied":
        share = unit(photo.alpha[part])
        values = straight(values, share)
    excess = np.where(np.isfinite(values), values - before, 0)
    target = after + (1 - np.minimum(moved / np.float32(EXCESS_GONE_AT), 1)) * excess
    if dtype.kind != "f":
        target = np.clip(target, 0, 1)
    if share is not None:
        target = target * share[..., None]
    return np.where(moved == 0, native, _quantised(target, dtype))


def _to_space(photo: Photo, rgb: np.ndarray, channels: int) -> np.ndarray:
    if photo.space is not None:
        return photo.space.from_srgb(rgb.reshape(-1, 3)).reshape(*rgb.shape[:2], channels)
    return rgb if channels == 3 else (rgb @ LUMA)[..., None]


def _quantised(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.float32(np.iinfo(dtype).max)).astype(dtype)


# Blocks over which light is compared, and the most that they may differ.
BLOCK, LIGHT = 16, 0.02
NAMES = {suffix[1:].upper(): name for suffix, name in FORMATS.items()} | {name: name for name in FORMATS.values()}


def write(
    photo: Photo, pixels: np.ndarray, destination: str | Path | BinaryIO, format: str | None = None, strip: bool = False
) -> tuple[str, ...]:
    """Write `photo` with new `pixels`, (H, W, 3) float32 in [0, 1] sRGB, and return notes on what the file could not hold.

    Colour space and profile, depth, grey, alpha, metadata (orientation 1, thumbnail dropped) and JPEG quality come from `photo`;
    where pixels equal photo.pixels, a lossless format gets the samples it had. Palettes and single bits become full samples; CMYK
    stays CMYK in JPEG and TIFF, and becomes sRGB elsewhere; alpha is laid on white for JPEG, which has none.

    format: "JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "HEIF", "JXL", "JP2", "GIF" or "PNM"; by default what the destination's
        suffix says, else the photo's own.
    strip: leave out EXIF (with its GPS position), XMP, captions and comments; the colour profile stays, since it says what colours mean.
    A path is written whole or not at all.

    Raises InputError: pixels of the wrong shape or not finite, an unknown format, a picture too large for it, a folder that refuses.
    """
    new = _checked(photo, pixels)
    target = format_of(photo, destination, format)
    picture = _picture(photo, new, target, strip, _held(target, destination, format))
    if photo.floats and max(depths(target)) > 8:
        picture.notes.append("an array of floats is written with 8 bits; for 16, give one of uint16")
    _put(encode(picture, target), destination)
    return tuple(picture.notes)


def write_back(
    photo: Photo, pixels: np.ndarray, destination: str | Path | BinaryIO, format: str | None = None, strip: bool = False
) -> tuple[str, ...]:
    """As `write`; a photograph to which nothing was done is handed on as the file that it was, where encoding that anew would lose
    something; with `strip` a JPEG is, without its metadata.
    """
    data = photo.encoded
    if data is not None and strip:
        # What colours mean that are no inks, and that no profile tells, the metadata may say.
        plain = (
            photo.space is None
            or photo.mode == "CMYK"
            or any(m == jpeg.APP2 and p.startswith(jpeg.ICC) for m, p in jpeg.segments(data))
        )
        data = jpeg.stripped(data) if photo.format == "JPEG" and plain else None
    cut = photo.left_out if strip else ()
    if (
        data is None
        or format_of(photo, destination, format) != photo.format
        or not np.array_equal(pixels, photo.pixels)
    ):
        return write(photo, pixels, destination, format, strip)
    _put(data, destination)
    return cut


def _put(data: bytes, destination: str | Path | BinaryIO) -> None:
    if isinstance(destination, (str, os.PathLike)):
        atomic.replace(Path(destination), data)
    else:
        destination.write(data)


def format_of(photo: Photo, destination: str | Path | BinaryIO, format: str | None = None) -> str:
    """The format that `write` would use. Raises InputError for one that is not written here, and for no path or binary stream."""
    named = isinstance(destination, (str, os.PathLike))
    if not named and (isinstance(destination, io.TextIOBase) or not hasattr(destination, "write")):
        kind = type(destination).__name__
        raise InputError(f"a photograph is written to a path or a stream of bytes, not to {kind}")
    if format is not None:
        known = NAMES.get(str(format).upper().lstrip("."))
        if known is None:
            raise InputError(f"unknown format {format!r}; choose one of {', '.join(sorted(set(FORMATS.values())))}")
        return known
    if not named or not Path(destination).suffix:
        return "TIFF" if photo.format == "RAW" else photo.format
    if Path(destination).suffix.lower() in RAW:
        raise InputError(f"{destination}: raw files come from cameras and are not written; use .tif (16 bit) or .jpg")
    known = FORMATS.get(Path(destination).suffix.lower())
    if known is None:
        raise InputError(f"{destination}: no format is known for this suffix; use one of {', '.join(FORMATS)}")
    return known


def _held(target: str, destination: object, format: str | None) -> tuple[int, ...]:
    """Bits per sample that are written: of the formats that are called PNM, PFM holds floats and the others whole numbers."""
    named = format or (os.fspath(destination) if isinstance(destination, (str, os.PathLike)) else "")
    kind = str(named).lower().rpartition(".")[2] if target == "PNM" else ""
    return {"pfm": (32,), "ppm": (8, 16), "pgm": (8, 16)}.get(kind, depths(target))


def _checked(photo: Photo, pixels: np.ndarray) -> np.ndarray:
    new = np.asarray(pixels, np.float32)
    if new.shape != photo.pixels.shape:
        raise InputError(
            f"{photo.source}: new pixels have shape {new.shape}, the photograph {photo.pixels.shape}; give one per pixel"
        )
    # The extremes are finite only where everything is, and no array of flags is needed.
    if not (np.isfinite(new.min()) and np.isfinite(new.max())):
        raise InputError(
            f"{photo.source}: {np.count_nonzero(~np.isfinite(new))} new samples are not finite; nothing was written"
        )
    return new


def _picture(photo: Photo, new: np.ndarray, target: str, strip: bool, held: tuple[int, ...]) -> Picture:
    samples, alpha, icc, kind = native_samples(photo, new), photo.alpha, photo.icc, photo.alpha_kind
    notes = list(photo.left_out)
    if samples.shape[2] == 4 and target not in INK_FORMATS:
        samples, icc, kind = _quantise(new, 8 if photo.depth == 8 else 16), None, "straight"
        notes.append(f"CMYK became sRGB: {target} holds no inks")
    if icc and target in SRGB_ONLY and photo.space is not None:
        # Grey is light of one colour in any space; colours go through sRGB.
        samples, icc = _quantise(new[..., :1] if photo.grey else new, 8 if photo.depth == 8 else 16), None
        kind = "straight"
        notes.append(f"its colours became sRGB: no profile is written into {target} here")
    if photo.grey and target not in GREY_FORMATS:
        if photo.space is not None:
            samples, icc, kind = _quantise(new, 8), None, "straight"
        else:
            samples, icc = np.repeat(samples, 3, axis=2), None if icc and icc[16:20] == b"GRAY" else icc
    if alpha is not None and kind == "premultiplied" and target != "TIFF":
        samples = _quantise(straight(unit(samples), unit(alpha)), photo.depth if photo.depth < 32 else 16)
    depth = max((d for d in held if d <= photo.depth), default=min(held))
    samples, alpha = _to_depth(samples, depth), None if alpha is None else _to_depth(alpha, depth)
    bits = photo.bits if depth == 16 else 0
    written = (bits or BOXED_BITS) if depth == 16 and target in ("HEIF", "AVIF") else depth
    if written < (photo.bits or photo.depth):
        why = "more needs imagecodecs" if (target, written) == ("AVIF", 8) else f"{target} holds no more"
        notes.append(f"{photo.bits or photo.depth}-bit samples became {written}-bit: {why}")
    if alpha is not None and target in NO_ALPHA:
        # No ink is white, full light is white.
        share = unit(alpha)[..., None]
        samples = _quantise(unit(samples) * share + (1 - share) * (0 if samples.shape[2] == 4 else 1), depth)
        alpha = None
        notes.append(f"transparency was laid on white: {target} holds none")
    same = target == photo.format
    others = None
    if photo.others is not None and target == "TIFF":
        others = _to_depth(photo.others, depth)
    elif photo.others is not None:
        notes.append(f"{photo.others.shape[2]} channels beside colour and alpha were left out: {target} holds none")
    extra, packet, told = _beside(photo, new, target, strip)
    notes += told
    height, width = new.shape[:2]
    return Picture(
        samples=samples,
        alpha=alpha,
        alpha_kind=kind if target == "TIFF" else "straight",
        icc=icc,
        exif=None if strip else exif.settle(photo.exif, width, height),
        xmp=packet,
        dpi=photo.dpi,
        jpeg=photo.jpeg if same else None,
        lossless=photo.lossless,
        bits=bits,
        others=others,
        extra=extra,
        notes=notes,
    )


def _beside(
    photo: Photo, new: np.ndarray, target: str, strip: bool
) -> tuple[tuple[tuple[str, bytes], ...], bytes | None, list[str]]:
    """What is written beside the picture other than EXIF, the XMP packet that tells of it, and notes on what is left out."""
    if not photo.extra and not photo.xmp:
        return (), None, []
    from unveil.photo import metadata
    from unveil.photo.png import COLOUR_CHUNKS

    notes: list[str] = []
    extra, packet, lost = metadata.carried(photo.extra, photo.xmp, photo.format, target)
    gained = next((content for name, content in photo.extra if name == metadata.GAIN), None)
    if gained is not None:
        from unveil.photo import encoding

        fits = not strip and target == "JPEG" and _same_light(photo, new)
        gained = encoding.turned_gain_map(gained, photo.orientation) if fits else None
        extra = tuple((n, c if n != metadata.GAIN or gained is None else gained) for n, c in extra)
        if gained is None:
            extra = tuple(piece for piece in extra if piece[0] != metadata.GAIN)
            notes.append("its gain map was left out: it belongs to the light of the picture as it was")
    if strip:
        return tuple(piece for piece in extra if piece[0] in COLOUR_CHUNKS), None, notes
    height, width = new.shape[:2]
    held = {name for name, _ in extra}
    packet = metadata.settle(packet, width, height, motion=metadata.TAIL in held, gain=len(gained or b""))
    return extra, packet, [*notes, *lost]


def _same_light(photo: Photo, new: np.ndarray) -> bool:
    """Whether a gain map still fits: as bright as before on average over blocks, as where noise, blur, blocks or rain were taken away.

    Measured on three photographs: these move a block by 0.007 at most, haze, shadow and low light by 0.087 at least.
    """
    rows, columns = (size // BLOCK * BLOCK or size for size in new.shape[:2])
    moved = (new[:rows, :columns] - photo.pixels[:rows, :columns]).mean(axis=2)
    high, wide = min(BLOCK, rows), min(BLOCK, columns)
    blocks = moved.reshape(rows // high, high, columns // wide, wide).mean(axis=(1, 3))
    return bool(np.abs(blocks).max() < LIGHT)


def _quantise(values: np.ndarray, depth: int) -> np.ndarray:
    dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
    return np.rint(np.clip(values, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)


def _to_depth(samples: np.ndarray, depth: int) -> np.ndarray:
    """Samples of another depth; untouched where they have it already (32 stands for floats of any width)."""
    if depth == 32:
        return samples if samples.dtype.kind == "f" else unit(samples)
    if samples.dtype.itemsize * 8 == depth and samples.dtype.kind == "u":
        return samples
    return _quantise(unit(samples), depth)
