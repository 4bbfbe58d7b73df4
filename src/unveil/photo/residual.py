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
    """(H, W, C) samples in the file's own colour space and type for new `pixels`, (H, W, 3) float32 in [0, 1].

    Where pixels equal photo.pixels, the samples are those of the file, bit for bit. Elsewhere, with T from sRGB to the file's space,
    samples = old samples + T(new) - T(old), so that neither a profile's rounding nor its gamut touches what the restorer did not.
    """
    height, width = pixels.shape[:2]
    dtype = (
        np.dtype({8: np.uint8, 16: np.uint16}.get(photo.depth, np.float32))
        if photo.native is None
        else photo.native.dtype
    )
    channels = (1 if photo.grey else 3) if photo.native is None else photo.native.shape[2]
    out = np.empty((height, width, channels), dtype)
    rows = max(1, CHUNK // width)
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        out[part] = _band(photo, part, pixels[part], dtype, channels)
    return out


def _band(photo: Photo, part: slice, new: np.ndarray, dtype: np.dtype, channels: int) -> np.ndarray:
    old = photo.pixels[part]
    if photo.native is None:
        if not photo.grey:
            return np.rint(new * np.float32(np.iinfo(dtype).max)).astype(dtype)
        native = np.rint(old[..., :1] * np.float32(np.iinfo(dtype).max)).astype(dtype)
    else:
        native = photo.native[part]
    before, after = _to_space(photo, old, channels), _to_space(photo, new, channels)
    moved = np.abs(new - old).max(axis=2, keepdims=True)
    if photo.space is not None and photo.space.replaces:
        return np.where(moved <= UNCHANGED, native, _quantised(after, dtype))
    values = unit(native)
    share = (
        unit(photo.alpha[part])[..., None] if photo.alpha is not None and photo.alpha_kind == "premultiplied" else None
    )
    colours = straight(values, share[..., 0]) if share is not None else values
    fade = np.minimum(moved / np.float32(EXCESS_GONE_AT), 1)
    change = after - before - np.where(moved > 0, fade * (colours - before), 0)
    target = values + (change * share if share is not None else change)
    if dtype.kind == "f":
        # Infinities and nan are kept where nothing changed and replaced where something did.
        target = np.where(np.isfinite(native), native + (target - values), after)
    else:
        top = share if share is not None else np.float32(1)
        # float32 holds the sum to a hundredth of a 16-bit step.
        target = _quantised(np.clip(target, 0, top), dtype)
    return np.where(change == 0, native, target).astype(dtype)


def _to_space(photo: Photo, rgb: np.ndarray, channels: int) -> np.ndarray:
    if photo.space is not None:
        return photo.space.from_srgb(rgb.reshape(-1, 3)).reshape(*rgb.shape[:2], channels)
    return rgb if channels == 3 else (rgb @ LUMA)[..., None]


def _quantised(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.float32(np.iinfo(dtype).max)).astype(dtype)
