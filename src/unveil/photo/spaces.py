"""Colour spaces: from a file's own samples to sRGB and back (ICC.1:2022, annex F)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unveil.photo import icc
from unveil.photo.icc import STEPS
from unveil.photo.srgb import LUMA, SRGB_TO_XYZ, decode, encode

# Profiles that differ from sRGB by less than this (a quarter of an 8-bit step) are sRGB.
SAME = 1e-3


class Space(Protocol):
    """Both ways take and give (N, channels) float32 in [0, 1].

    replaces: whether a changed pixel gets new samples outright, rather than its old samples plus the change (`writing.native_samples`).
    """

    replaces: bool

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        """(N, C) samples of the file to (N, 3) sRGB-encoded, clipped to the sRGB gamut."""
        ...

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """(N, 3) sRGB-encoded to (N, C) samples of the file."""
        ...


class CurveSpace:
    """Matrix and tone curves: three curves and a matrix for RGB, one curve for grey."""

    replaces = False

    def __init__(self, profile: icc.Profile) -> None:
        if profile.curves is None:
            raise ValueError("no tone curves")
        self.curves = profile.curves.astype(np.float32)
        # The inverse is stored at equal steps of sRGB-encoded light, where it is nearly straight and 16 bits lose nothing.
        light = decode(np.linspace(0, 1, STEPS, dtype=np.float32))
        grid = np.linspace(0, 1, STEPS)
        self.inverses = np.stack([np.interp(light, curve, grid) for curve in profile.curves]).astype(np.float32)
        if profile.matrix is None:
            self.forward = self.backward = None
        else:
            self.forward = (np.linalg.inv(SRGB_TO_XYZ) @ profile.matrix).T.astype(np.float32)
            self.backward = (np.linalg.inv(profile.matrix) @ SRGB_TO_XYZ).T.astype(np.float32)

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        """See Space."""
        steps = _steps(native)
        light = np.stack([curve[steps[:, c]] for c, curve in enumerate(self.curves)], axis=1)
        if self.forward is None:
            return np.repeat(encode(light), 3, axis=1)
        return encode(np.clip(light @ self.forward, 0, 1))

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """See Space. Grey takes the luminance."""
        light = decode(rgb)
        light = light @ LUMA[:, None] if self.backward is None else light @ self.backward
        steps = _steps(encode(np.clip(light, 0, 1)))
        return np.stack([inverse[steps[:, c]] for c, inverse in enumerate(self.inverses)], axis=1)


def _steps(values: np.ndarray) -> np.ndarray:
    return np.rint(values * np.float32(STEPS - 1)).astype(np.int32)


class PlainInkSpace:
    """CMYK without a profile: each ink takes away its share of light, r = (1 - c)(1 - k)."""

    replaces = True

    def to_srgb(self, native: np.ndarray) -> np.ndarray:
        """See Space."""
        return (1 - native[:, :3]) * (1 - native[:, 3:])

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """See Space. As much black as the colour allows."""
        black = 1 - rgb.max(axis=1, keepdims=True)
        inks = 1 - rgb / np.maximum(1 - black, 1e-6)
        return np.concatenate([np.clip(np.where(black < 1, inks, 0), 0, 1), black], axis=1)


def _table_space(profile: bytes) -> Space:
    """Loaded where a profile is made of tables, which few are."""
    from unveil.photo.cms import table_space

    return table_space(profile)


def space_for(channels: int, profile: bytes | None) -> tuple[Space | None, tuple[str, ...]]:
    """The space of a file's samples (1, 3 or 4 channels), None for sRGB, and notes about a profile that could not be used."""
    fallback = PlainInkSpace() if channels == 4 else None
    if not profile:
        return fallback, ()
    try:
        parsed = icc.parse(profile)
        wanted = {1: "GRAY", 3: "RGB", 4: "CMYK"}[channels]
        if parsed.space != wanted:
            raise ValueError(f"it describes {parsed.space}, the picture is {wanted}")
        if channels == 4:
            from unveil.photo.cms import InkSpace

            return InkSpace(profile), ()
        space = CurveSpace(parsed) if parsed.curves is not None else _table_space(profile)
    except ValueError as error:
        return fallback, (f"the embedded colour profile is not used: {error}; it is handed on as it is",)
    return (None if _is_srgb(space, channels) else space), ()


def _is_srgb(space: Space, channels: int) -> bool:
    axis = np.linspace(0, 1, 9, dtype=np.float32)
    grid = np.stack(np.meshgrid(*[axis] * channels, indexing="ij"), axis=-1).reshape(-1, channels)
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], channels, axis=1)
    probe = np.concatenate([grid, ramp])
    return (
        float(
            np.abs(
                space.to_srgb(probe) - np.broadcast_to(probe, (len(probe), 3) if channels == 3 else (len(probe), 1))
            ).max()
        )
        < SAME
    )
