"""Changed sRGB pixels put back into the file's own samples: what was not changed stays exactly what it was."""

from __future__ import annotations

import numpy as np

from unveil.photo.reading import CHUNK, straight, unit
from unveil.photo.record import Photo
from unveil.photo.srgb import LUMA

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
