"""AVIF and HEIC with more than eight bits per sample, and what their boxes tell beside the picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from unveil.errors import InputError
from unveil.photo import avif_write, exif, isobmff, pillow
from unveil.photo.header import Header
from unveil.photo.picture import BOXED_BITS, QUALITY, Picture, image_of, save
from unveil.photo.record import Decoded


def decode(data: bytes, header: Header) -> Decoded:
    """Samples at the file's own depth and its metadata. Raises ValueError, or whatever the decoders raise."""
    deep = _deep_decoder(header)
    found = pillow.decode(data, header, None if deep is None else lambda: deep(data))
    if header.grey and found.samples.shape[2] == 3:
        found.samples, found.mode = found.samples[..., :1], found.mode.replace("RGB", "L")
    about = isobmff.contents(data)
    found.cicp = about.cicp
    found.bits = header.bits if found.samples.dtype == np.uint16 else 0
    if header.bits > 8 and not found.bits:
        found.notes += (
            f"its {header.bits}-bit samples were read with 8 bits: pip install imagecodecs for all of them",
        )
    if about.others:
        found.notes += (f"left out, since only one picture is restored: {', '.join(about.others)}",)
    return found


def _deep_decoder(header: Header) -> Any:
    if header.bits <= 8:
        return None
    if header.format == "HEIF":
        return _deep_heif
    return _deep_avif if avif_write.library() is not None else None


def _deep_avif(data: bytes) -> Decoded:
    samples = avif_write.library().avif_decode(data, index=0, numthreads=1)
    return _stretched(samples, isobmff.properties(data)[2])


def _deep_heif(data: bytes) -> Decoded:
    opened = heif().open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = opened[opened.primary_index]
    return _stretched(np.asarray(image), image.info.get("bit_depth", 8))


def _stretched(samples: np.ndarray, bits: int) -> Decoded:
    """Samples of 9 to 15 bits as 16 bits from 0 to 65535, so that white is white."""
    samples = samples[..., None] if samples.ndim == 2 else samples
    if samples.dtype == np.uint16 and bits < 16:
        # bits: of the largest value that there can be; the product is exact in 32 bits.
        top = np.uint32(2**bits - 1)
        samples = ((samples.astype(np.uint32) * np.uint32(65535) + top // 2) // top).astype(np.uint16)
    colours = 1 if samples.shape[2] <= 2 else 3
    alpha = np.ascontiguousarray(samples[..., colours]) if samples.shape[2] > colours else None
    mode = ("L" if colours == 1 else "RGB") + ("" if alpha is None else "A")
    return Decoded(np.ascontiguousarray(samples[..., :colours]), mode, alpha)


def heif() -> Any:
    """The module `pillow_heif`. Raises InputError where it is not installed."""
    try:
        import pillow_heif  # type: ignore[import-not-found]
    except ImportError:
        from unveil.util.extras import installing  # for this case alone

        raise InputError(f"HEIC needs a further package: {installing('heic')}") from None
    return pillow_heif


def encode_heif(picture: Picture) -> bytes:
    """A HEIC of 8 bits, or of 10 or 12 where the samples have 16."""
    deep = picture.samples.dtype == np.uint16
    if deep:
        image = _deep_image(picture)
    else:
        plain = image_of(picture)
        if picture.samples.shape[2] == 1 and picture.alpha is not None:
            plain = plain.convert("LA")  # which is written as one grey plane and one of alpha
        image = heif().from_pillow(plain)
    for name, block in (("exif", picture.exif), ("xmp", picture.xmp), ("icc_profile", picture.icc)):
        if block:
            image.info[name] = block
    if picture.icc:
        image.info["icc_profile_type"] = "prof"
    out = io.BytesIO()
    # The quality covers alpha too, and only -1 (without loss but for the colours' own conversion) leaves it untouched.
    # x265's slower presets double the time for three per cent of the size.
    image.save(out, quality=QUALITY if picture.alpha is None else -1, enc_params={"preset": "medium"})
    return out.getvalue()


def _deep_image(picture: Picture) -> Any:
    bits = picture.bits or BOXED_BITS
    samples = picture.samples
    if picture.alpha is not None:
        colours = np.broadcast_to(samples, (*samples.shape[:2], 3))
        samples = np.concatenate([colours, picture.alpha[..., None]], axis=2)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    whole = np.rint(samples * np.float32((2**bits - 1) / 65535)).astype(np.uint16)
    return heif().from_bytes(f"{mode};{bits}", (samples.shape[1], samples.shape[0]), whole.tobytes())


class _Verbatim(Image.Exif):
    """A block that Pillow writes as it is; it would put it together anew, and maker notes point at fixed places in it."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self._block = block

    def __bool__(self) -> bool:
        return True  # it has no entries of its own

    def tobytes(self, offset: int = 8) -> bytes:
        return exif.PREFIX + self._block


def encode_avif(picture: Picture) -> bytes:
    """An AVIF of 8 bits, or of 10 or 12 where the samples have 16."""
    if picture.exif and not exif.parses(picture.exif):
        picture.notes.append("EXIF left out: it is damaged, and AVIF takes sound blocks only")
        picture.exif = None
    if picture.samples.dtype == np.uint16:
        return avif_write.encode(picture)
    # The quality covers alpha too, and only 100 leaves it untouched.
    options: dict = {"quality": QUALITY if picture.alpha is None else 100, "subsampling": "4:4:4"}
    if picture.samples.shape[2] == 1:
        options["subsampling"] = "4:0:0"
    if picture.exif:
        options["exif"] = _Verbatim(picture.exif)
    return save(picture, "AVIF", {**options, "xmp": picture.xmp or b""})
