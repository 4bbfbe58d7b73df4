"""What is handed to the encoders, and the way through Pillow that most of them share."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from unveil.photo.record import JpegSettings

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
