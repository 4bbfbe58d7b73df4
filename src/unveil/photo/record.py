"""What a photograph is once it has been read: pixels to work on, and everything needed to write it back as it came."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from unveil.errors import InputError

if TYPE_CHECKING:
    from unveil.photo.spaces import Space


class NotRead(ValueError):
    """What a decoder raises for a sound file of a kind that it does not read: what kind, and what to do."""


@dataclass(frozen=True)
class JpegSettings:
    """How a JPEG was compressed.

    tables: one quantisation table of 64 steps per component, in natural (row by row) order.
    subsampling: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0, -1 where it has no such name (grey, CMYK, unusual factors).
    progressive: whether the scans were progressive.
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: int
    progressive: bool


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph, upright, with its pixels in sRGB and its own nature beside them.

    pixels: (H, W, 3) float32 in [0, 1], sRGB-encoded; a grey photograph has three equal channels.
    alpha: (H, W) in the depth of the file, untouched, or None.
    grey: whether the file has a single colour channel.
    depth: bits per sample of the file: 8, 16, or 32 for floating point of any width.
    format: "JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "HEIF", "JXL", "JP2", "GIF", "PNM" or "RAW".
    mode: how the file stored its colours: "L", "LA", "RGB", "RGBA", "P", "1" or "CMYK".
    source: the file's name, for messages.
    icc, exif, xmp: the embedded blocks as found; exif begins at its byte order mark. They are settled (orientation 1) when written.
        icc: where colours are told elsewhere (nclx, cICP, gAMA and cHRM, EXIF), a profile that says the same.
    dpi: horizontal and vertical resolution in pixels per inch.
    jpeg: how it was compressed, for JPEG.
    bits: that the samples really have (10 or 12 in 16), 0 for all.
    lossless: whether the file's compression kept every sample.
    orientation: the EXIF orientation found, 1 to 8. It is already applied to every array here.
    alpha_kind: "straight" or "premultiplied" (colours stored multiplied by alpha).
    native: (H, W, C) the file's own colour samples, where `pixels` alone cannot give them back (a profile, CMYK, floats,
        premultiplied alpha); None otherwise.
    space: the way between `native` and sRGB; None where the file's samples are sRGB already.
    others: (H, W, N) channels that are neither colour nor alpha (infrared, masks), upright and untouched; None where there are none.
    extra: further pieces of the file (comments, captions) that are handed on to an output of the same format.
    notes: what the reader should know, one sentence each.
    left_out: what the file holds that is not read, one sentence each; told when the photograph is written, since a file that is handed on
        byte for byte holds it still.
    tone_mapped: whether the samples were brought from high dynamic range to standard range, and are the file's no longer.
    encoded: the file itself, where writing it again would lose something: lossy, upright and in standard range. None for others, and for
        copies with anything replaced.
    floats: whether the pixels were given as an array of floats, which has no depth of its own and is written with 8 bits.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    grey: bool
    depth: int
    format: str
    mode: str
    source: str
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    jpeg: JpegSettings | None = None
    lossless: bool = True
    orientation: int = 1
    alpha_kind: str = "straight"
    native: np.ndarray | None = None
    space: Space | None = None
    extra: tuple[tuple[str, bytes], ...] = ()
    notes: tuple[str, ...] = ()
    bits: int = 0
    others: np.ndarray | None = None
    tone_mapped: bool = False
    left_out: tuple[str, ...] = ()
    encoded: bytes | None = field(default=None, init=False, repr=False)
    floats: bool = field(default=False, init=False, repr=False)

    @property
    def height(self) -> int:
        """Rows, upright."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns, upright."""
        return self.pixels.shape[1]


@dataclass
class Decoded:
    """The result of a decoder: samples as stored, before orientation and colour are applied.

    samples: (H, W, C), uint8, uint16 or floating point; C is 1 (grey), 3 (RGB) or 4 (CMYK).
    alpha: (H, W) of the same type, or None. cicp: primaries and transfer by their numbers in H.273, where the
    file tells its colours so. cicp_first: they go before a profile. The other fields are those of Photo.
    """

    samples: np.ndarray
    mode: str
    alpha: np.ndarray | None = None
    alpha_kind: str = "straight"
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    jpeg: JpegSettings | None = None
    lossless: bool = True
    bits: int = 0
    orientation: int | None = None
    cicp: tuple[int, int] | None = None
    cicp_first: bool = False
    others: np.ndarray | None = None
    extra: tuple[tuple[str, bytes], ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    tone_mapped: bool = False


def parted(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours (H, W, 1 or 3), and alpha (H, W) or None, of samples (H, W) or (H, W, 1 to 4) that may have it as their last channel."""
    samples = samples[..., None] if samples.ndim == 2 else samples
    colours = 3 if samples.shape[2] >= 3 else 1
    alpha = np.ascontiguousarray(samples[..., colours]) if samples.shape[2] > colours else None
    return np.ascontiguousarray(samples[..., :colours]), alpha


def in_the_shape_of(photo: Photo, pixels: np.ndarray, *, coloured: bool = False) -> Photo:
    """The photograph as one that new pixels (H, W, 3) in [0, 1] can be written with: itself, unless they are larger, or coloured where it
    is grey.

    Then its picture (bicubic) and its alpha have their size, and it is in sRGB; its metadata, its depth and how it was compressed stay.
    """
    same = pixels.shape == photo.pixels.shape
    grey = photo.grey and not coloured
    if same and grey == photo.grey:
        return photo
    notes = list(photo.notes)
    if photo.native is not None:
        notes.append("its colours became sRGB")
    if photo.others is not None:
        notes.append("channels beside colour and alpha were left out")
    depth = min(photo.depth, 16)
    alpha = photo.alpha
    if alpha is not None and not same:
        most = np.iinfo(alpha.dtype).max if alpha.dtype.kind != "f" else 1
        plane = _enlarged((alpha / np.float32(most)).astype(np.float32)[..., None], pixels.shape)
        alpha = np.rint(plane[..., 0] * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)
    shaped = replace(
        photo,
        pixels=photo.pixels if same else _enlarged(photo.pixels, pixels.shape),
        alpha=alpha,
        grey=grey,
        depth=depth,
        mode="L" if grey else "RGB" if alpha is None else "RGBA",
        icc=photo.icc if photo.native is None and grey == photo.grey else None,
        jpeg=photo.jpeg if grey == photo.grey else None,
        alpha_kind="straight",
        native=None,
        space=None,
        others=None,
        notes=tuple(notes),
    )
    object.__setattr__(shaped, "floats", photo.floats)
    return shaped


def _enlarged(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w, C) in [0, 1] at the height and width of `shape`."""
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    larger = torch.nn.functional.interpolate(planes, size=shape[:2], mode="bicubic").clamp_(0, 1)
    return np.ascontiguousarray(larger[0].permute(1, 2, 0).numpy())


NEAR = 0.2
"""How far a float image that was meant to lie in [0, 1] may overshoot: resizing by bicubic and sharpening do."""
_DEPTHS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}


def from_array(pixels: np.ndarray, name: str = "array") -> Photo:
    """A Photo from (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, or float in [0, 1], taken as sRGB; a fourth channel is alpha.

    Floats are written with 8 bits, which is said where the format holds more. Raises InputError for other shapes or types, NaN, or floats
    outside [0, 1] (scale 8-bit values by 255 first).
    """
    pixels = np.asarray(pixels)  # a matrix has two dimensions for ever
    pixels = pixels.astype(
        pixels.dtype.newbyteorder("="), copy=False
    )  # files of other machines give their order of bytes
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise InputError(
            f"an image must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) and not empty, got {pixels.shape}"
        )
    depth = _DEPTHS.get(pixels.dtype, 8)
    if pixels.dtype in _DEPTHS:
        scaled = np.divide(pixels, np.float32(2**depth - 1), dtype=np.float32)
    elif np.issubdtype(pixels.dtype, np.floating):
        scaled = pixels.astype(np.float32)
        if not np.isfinite(scaled).all():
            raise InputError("the image holds NaN or infinite values")
        low, high = scaled.min(), scaled.max()
        if low < 0 or high > 1:
            clip = "clip it: np.clip(image, 0, 1)"
            near = low >= -NEAR and high <= 1 + NEAR
            what = clip if near else "divide 8-bit values by 255, 16-bit ones by 65535"
            raise InputError(f"a float image must lie in [0, 1], this one spans [{low!s}, {high!s}]; {what}")
    else:
        raise InputError(f"an image must be uint8, uint16 or float, got {pixels.dtype}")
    grey = pixels.shape[2] == 1
    colour = np.ascontiguousarray(scaled[:, :, :1].repeat(3, axis=2) if grey else scaled[:, :, :3])
    alpha = None
    if pixels.shape[2] == 4:
        top = 2**depth - 1
        alpha = np.rint(scaled[:, :, 3] * top).astype(np.uint8 if depth == 8 else np.uint16)
    mode = "L" if grey else "RGBA" if alpha is not None else "RGB"
    photo = Photo(colour, alpha, grey, depth, "PNG", mode, name)
    object.__setattr__(photo, "floats", pixels.dtype not in _DEPTHS)
    return photo
