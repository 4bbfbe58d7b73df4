"""Reading a photograph: its bytes, header, limits, decoder, orientation, colour."""

from __future__ import annotations

import io
import os
import stat
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from unveil.errors import InputError
from unveil.photo import exif, pillow
from unveil.photo.exif import upright
from unveil.photo.header import Header, check_size, probe
from unveil.photo.record import Decoded, NotRead, Photo, from_array
from unveil.util.quiet import quiet
from unveil.util.suffixes import FORMATS

if TYPE_CHECKING:
    from unveil.photo.spaces import Space


# The most bytes a pixel can take uncompressed (four 32-bit floats), and room for profiles, previews and metadata.
BYTES_PER_PIXEL = 16
OVERHEAD = 256 << 20


def load(source: str | Path | bytes | BinaryIO, max_pixels: int) -> tuple[str, bytes]:
    """The name and the bytes of `source`: a path, the bytes themselves, or a readable binary stream.

    Raises InputError when there is nothing readable, or more bytes than `max_pixels` pixels could fill.
    """
    limit = max_pixels * BYTES_PER_PIXEL + OVERHEAD
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, data = "<bytes>", bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        name = os.fsdecode(source)
        data = _from_path(name, limit)
    elif hasattr(source, "read"):
        given = getattr(source, "name", None)
        name = given if isinstance(given, str) else "<stream>"
        data = _from_stream(name, source, limit)
    else:
        raise InputError(f"a photograph is a path, bytes or a binary stream, not {type(source).__name__}")
    if not data:
        raise InputError(f"{name}: the file is empty (0 bytes); copy it again from its source")
    if len(data) > limit:
        raise InputError(f"{name}: {_too_long(limit)}")
    return name, data


def _too_long(limit: int) -> str:
    return f"the file is larger than {limit / 1e9:.1f} GB, more than the allowed pixels could fill; raise --max-pixels if you trust it"


def _from_path(name: str, limit: int) -> bytes:
    try:
        status = os.stat(name)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name!r}: cannot be opened ({_reason(error)}); check the path and its permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: is a folder, not a photograph; name the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: is a device or pipe, not a photograph; use `-` for standard input")
    if status.st_size > limit:
        raise InputError(f"{name}: {_too_long(limit)}")
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({_reason(error)}); check its permissions") from None


def _from_stream(name: str, stream: BinaryIO, limit: int) -> bytes:
    try:
        data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read ({_reason(error)})") from None
    if not isinstance(data, (bytes, bytearray)):
        raise InputError(f"{name}: the stream gives {type(data).__name__}, not bytes; open it in binary mode")
    return bytes(data)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


MAX_PIXELS = 200_000_000
# Pixels converted at a time: large enough for vector speed, small enough to stay in the processor's cache.
CHUNK = 1 << 16
# Highlights of a float picture may exceed white, which is 1; half of a picture does not exceed it four times over.
FAR_ABOVE_WHITE = 4


def read(source: str | Path | bytes | BinaryIO, max_pixels: int = MAX_PIXELS, tone_map: bool = False) -> Photo:
    """Read a JPEG, PNG, WebP, TIFF, AVIF, HEIC, JPEG XL, JPEG 2000, BMP, GIF, PPM, PFM or camera raw file as an upright photograph in sRGB.

    source: a path, the file's bytes, or a binary stream. max_pixels: refuse larger pictures from their header, before decoding.
    tone_map: bring high dynamic range (PQ, HLG) to standard range, with a note, instead of refusing it.
    Floating-point pictures are taken as display values in [0, 1]; what lies outside is clipped in `pixels` and kept in `native`.

    Raises InputError, with the file's name, what is wrong and what to do: missing, unreadable, empty, not an image, damaged, cut
    short, too large, an animation, several pages, high dynamic range, or a kind of samples that is not read.
    """
    name, data = load(source, max_pixels)
    header = probe(name, data, max_pixels)
    try:
        with quiet(), np.errstate(over="ignore", invalid="ignore"):
            found = _decode(data, header)
            check_size(name, found.samples.shape[1], found.samples.shape[0], max_pixels)
            notes = (*_misnamed(name, header), *_told_colours(name, found, tone_map))
            photo = _photo(name, header, found, notes)
            if not (photo.lossless or photo.tone_mapped) and photo.orientation == 1:
                object.__setattr__(photo, "encoded", bytes(data))
            return photo
    except InputError:
        raise
    except MemoryError:
        raise InputError(
            f"{name}: {header.width} x {header.height} pixels do not fit into memory; close other programs or reduce the picture first"
        ) from None
    except Exception as error:  # decoders raise anything on damaged files; a folder of photographs must survive it
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = "" if isinstance(error, NotRead) else "; if it opens elsewhere, save it again there"
        raise InputError(f"{name}: cannot be read as {header.format}: {reason[:300]}{advice}") from error


def _misnamed(name: str, header: Header) -> tuple[str, ...]:
    """A note where a name says another format than the file has: a result of that name is of the format that it says."""
    said = FORMATS.get(Path(name).suffix.lower())
    if said in (None, header.format):
        return ()
    return (
        f"it is named {Path(name).suffix} and is a {header.format} file; by that name it would be written as {said}",
    )


def as_photo(image: Any, max_pixels: int = MAX_PIXELS) -> Photo:
    """A photograph from what Python has: a path, bytes, a stream, a PIL image, an array or a tensor. Raises InputError.

    Arrays are (H, W, C) uint8, uint16 or float in [0, 1], tensors (3, H, W) or (1, 3, H, W) in [0, 1]. max_pixels: as `read` takes it.
    """
    if isinstance(image, Photo):
        return image
    if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(image, "read"):
        return read(image, max_pixels)  # type: ignore[arg-type]
    if hasattr(image, "convert") and hasattr(image, "size"):
        return _with_words_of(image, read(_lossless(image), max_pixels))
    if isinstance(image, np.ndarray):
        return from_array(image)
    import torch

    if not isinstance(image, torch.Tensor):
        raise InputError(f"cannot restore a {type(image).__name__}; give a path, a PIL image, an array or a tensor")
    try:
        tensor = image.detach().to_dense().cpu().resolve_conj().resolve_neg()
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(f"a tensor on {image.device} cannot be read ({error})") from error
    tensor = tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize < 4 else tensor
    tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise InputError(f"a tensor must be (3, H, W) or (1, 3, H, W), got {tuple(image.shape)}")
    try:
        return from_array(tensor.permute(1, 2, 0).numpy())
    except TypeError as error:  # quantised, and what else NumPy has no type for
        raise InputError(f"a tensor of {image.dtype} cannot be read; give one of float32 in [0, 1]") from error


# Modes that no file here holds, and those that hold the same.
SAME_AS = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA", "RGBX": "RGB"}


def _lossless(image: Any) -> bytes:
    """A PIL image as a file that keeps its samples, profile, EXIF and transparency, so that it is read as a path would be.

    Raises InputError where Pillow, which reads a file that was opened only now, finds it damaged or closed.
    """
    if 0 in image.size:
        raise InputError(
            f"a PIL image of {image.width} x {image.height} pixels is empty; give one that shows something"
        )
    out = io.BytesIO()
    try:
        image.load()
    except Exception as error:  # as in `read`: decoders raise anything
        reason = " ".join(str(error).split()) or "its file is closed"
        raise InputError(f"a PIL image cannot be loaded: {reason[:300]}; open it again, or give its path") from error
    exif = image.getexif()
    if image.format == "TIFF":
        exif.pop(0x0112, None)  # Pillow has turned it on loading, and leaves the tag where it was
    about = {"icc_profile": image.info.get("icc_profile"), "exif": exif.tobytes()}
    kept = {k: v for k, v in about.items() if v}
    if image.mode == "I":
        image = _deep(image)
    elif image.mode in SAME_AS:
        image = image.convert(SAME_AS[image.mode])
    try:
        if image.mode in ("CMYK", "F", "YCbCr", "LAB", "HSV"):
            wide = image if image.mode in ("CMYK", "F") else image.convert("RGB")
            bare = Image.frombytes(wide.mode, wide.size, wide.tobytes())  # without the tags of the file it came from
            bare.save(out, "TIFF", **kept)
        else:
            image.save(out, "PNG", compress_level=1, **kept)
    except (OSError, ValueError) as error:
        raise InputError(f"a PIL image of mode {image.mode} cannot be restored ({error}); convert it to RGB") from error
    return out.getvalue()


def _with_words_of(image: Any, photo: Photo) -> Photo:
    """The photograph of a PIL image with its XMP and its resolution, for which not every file that `_lossless` writes has a place."""
    packet = image.info.get("xmp")
    if isinstance(packet, (bytes, str)) and packet:
        object.__setattr__(photo, "xmp", packet.encode() if isinstance(packet, str) else packet)
    object.__setattr__(photo, "dpi", pillow.sane_dpi(image.info.get("dpi")) or photo.dpi)
    return photo


def _deep(image: Any) -> Any:
    """A PIL image of mode I, in which Pillow opens what has 16 bits (PGM) or 32, with 16 bits.

    How light it is follows from where it came from, never from its largest value: a photograph at night has small values in 16 bits, too.
    """
    low, high = image.getextrema()
    if low < 0 or high > 65535:
        raise InputError(
            f"a PIL image of mode I spans [{low}, {high}], which is more than 16 bits; scale it to a float array in [0, 1]"
        )
    if image.format not in ("PPM", None):
        raise InputError(
            f"a PIL image of mode I from a {image.format} file does not say which value is white; scale it to a float array in [0, 1]"
        )
    if image.format is None and high <= 255:
        raise InputError(
            f"a PIL image of mode I whose largest value is {high} may have 8 or 16 bits; give image.convert('L') where white is 255, or "
            "np.asarray(image).astype('uint16') where white is 65535"
        )
    deep = Image.fromarray(np.asarray(image).astype(np.uint16))
    deep.info = image.info
    return deep


_DECODERS = {"JXL": "modern", "JP2": "modern", "GIF": "modern", "PNM": "modern", "AVIF": "heif", "HEIF": "heif"}
_DECODERS |= {"TIFF": "tiff", "RAW": "raw", "PNG": "png"}


def _decode(data: bytes, header: Header) -> Decoded:
    """By the decoder of its format, the others of which are never loaded."""
    return import_module(f"unveil.photo.{_DECODERS.get(header.format, 'pillow')}").decode(data, header)


def _told_colours(name: str, found: Decoded, tone_map: bool) -> tuple[str, ...]:
    """Give `found` a profile of what its file tells elsewhere, and make standard range of high dynamic range where that is asked for."""
    grey = found.samples.shape[2] == 1
    if not found.cicp and found.icc is None:
        if exif.is_adobe_rgb(found.exif) and found.samples.shape[2] != 4:
            from unveil.photo.icc import adobe_rgb

            found.icc = adobe_rgb(grey)
        return ()
    from unveil.photo import icc

    stated = found.cicp or icc.stated_cicp(found.icc)
    if not stated:
        return ()
    if stated[1] in icc.HDR:
        kind = icc.HDR[stated[1]]
        if not tone_map or grey or stated[0] not in (*icc.PRIMARIES, icc.UNSTATED):
            # Words that are true at every door: the command line, Python, and HTTP, where nothing tone-maps.
            how = (
                "it is grey or its primaries are unknown"
                if tone_map
                else "`unveil restore --tone-map` and photo.read(tone_map=True) do"
            )
            raise InputError(
                f"{name}: a high dynamic range photograph ({kind}), which no model here was trained for; convert it to sRGB first ({how})"
            )
        from unveil.photo import png

        found.samples = _tone_mapped(found.samples, *stated)
        found.icc, found.cicp, found.tone_mapped = None, None, True
        found.extra = tuple(piece for piece in found.extra if piece[0] not in png.COLOUR_CHUNKS)
        return (f"high dynamic range ({kind}) was tone-mapped to sRGB by ITU-R BT.2446, method A",)
    if found.cicp and (found.icc is None or found.cicp_first):
        try:
            found.icc = icc.profile(*found.cicp, grey)
        except ValueError as error:
            return (f"{error}; they were taken for sRGB",)
    return ()


def _tone_mapped(samples: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    from unveil.photo import spaces

    out = np.empty_like(samples)
    rows = max(1, CHUNK // samples.shape[1])
    top = 1 if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max
    for start in range(0, len(samples), rows):
        part = samples[start : start + rows]
        mapped = (
            spaces.tone_mapped(np.clip(unit(part), 0, 1).reshape(-1, 3), primaries, transfer).reshape(part.shape) * top
        )
        out[start : start + rows] = mapped if top == 1 else np.rint(mapped)
    return out


def _photo(name: str, header: Header, found: Decoded, told: tuple[str, ...]) -> Photo:
    turn = exif.orientation(found.exif) if found.orientation is None else found.orientation
    samples = upright(found.samples, turn)
    alpha = None if found.alpha is None else upright(found.alpha, turn)
    kind = found.alpha_kind if alpha is not None else "straight"
    space, notes = _space(samples.shape[2], found.icc)
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
        bits=found.bits,
        orientation=turn,
        alpha_kind=kind,
        native=None if plain else samples,
        space=space,
        others=None if found.others is None else upright(found.others, turn),
        extra=found.extra,
        notes=(*found.notes, *told, *notes),
        tone_mapped=found.tone_mapped,
        left_out=found.left_out,
    )


def _space(channels: int, profile: bytes | None) -> tuple[Space | None, tuple[str, ...]]:
    """As `spaces.space_for`, which is not needed where no colour space is stated and light is grey or red, green and blue: that is sRGB."""
    if profile is None and channels != 4:
        return None, ()
    from unveil.photo.spaces import space_for

    return space_for(channels, profile)


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
