"""Colour spaces: from a file's own samples to sRGB and back (ICC.1:2022, annex F), and high dynamic range to standard range.

The latter by ITU-R BT.2446-1, method A, from 1000 to 100 cd/m2.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unveil.photo import icc
from unveil.photo.icc import PRIMARIES, STEPS, UNSTATED
from unveil.photo.srgb import LUMA, SRGB_TO_XYZ, decode, encode, rgb_to_xyz

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
        steps = _steps(native)
        light = np.stack([curve[steps[:, c]] for c, curve in enumerate(self.curves)], axis=1)
        if self.forward is None:
            return np.repeat(encode(light), 3, axis=1)
        return encode(np.clip(light @ self.forward, 0, 1))

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """Grey takes the luminance."""
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
        return (1 - native[:, :3]) * (1 - native[:, 3:])

    def from_srgb(self, rgb: np.ndarray) -> np.ndarray:
        """As much black as the colour allows."""
        black = 1 - rgb.max(axis=1, keepdims=True)
        inks = 1 - rgb / np.maximum(1 - black, 1e-6)
        return np.concatenate([np.clip(np.where(black < 1, inks, 0), 0, 1), black], axis=1)


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
        if channels != 4 and parsed.curves is not None:
            space: Space = CurveSpace(parsed)
        else:
            from unveil.photo.cms import table_space  # loaded where a profile is made of tables, which few are

            space = table_space(profile, channels == 4)
    except ValueError as error:
        return fallback, (f"the embedded colour profile is not used: {error}; it is handed on as it is",)
    return (None if channels != 4 and _is_srgb(space, channels) else space), ()


def _is_srgb(space: Space, channels: int) -> bool:
    axis = np.linspace(0, 1, 9, dtype=np.float32)
    grid = np.stack(np.meshgrid(*[axis] * channels, indexing="ij"), axis=-1).reshape(-1, channels)
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], channels, axis=1)
    probe = np.concatenate([grid, ramp])
    return float(np.abs(space.to_srgb(probe) - probe).max()) < SAME


PEAK, WHITE = 1000.0, 100.0
_LUMA = np.array([0.2627, 0.6780, 0.0593])
_WIDE_TO_XYZ = rgb_to_xyz(*PRIMARIES[9][1:])
# BT.2100: the constants of PQ (table 4) and of HLG (table 5).
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2


def tone_mapped(signal: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """HDR samples (N, 3) in [0, 1] to float32 sRGB. primaries, transfer: their numbers in H.273; transfer 16 for PQ, 18 for HLG."""
    light = _pq(signal) if transfer == 16 else _hlg(signal)
    if primaries not in (9, UNSTATED):
        to_wide = np.linalg.inv(_WIDE_TO_XYZ) @ rgb_to_xyz(*PRIMARIES[primaries][1:])
        light = light @ to_wide.T
    shown = _method_a(np.clip(light / PEAK, 0, 1)) ** 2.4
    narrow = shown @ (np.linalg.inv(SRGB_TO_XYZ) @ _WIDE_TO_XYZ).T
    return encode(np.clip(narrow, 0, 1))


def _pq(signal: np.ndarray) -> np.ndarray:
    """Light in cd/m2 (BT.2100, table 4)."""
    power = np.asarray(signal, np.float64) ** (1 / _M2)
    return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _hlg(signal: np.ndarray) -> np.ndarray:
    """Light of a display of 1000 cd/m2 (BT.2100, table 5: the inverse of its curve, then its system gamma)."""
    signal = np.asarray(signal, np.float64)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    luminance = (scene @ _LUMA)[:, None]
    return PEAK * scene * np.maximum(luminance, 1e-9) ** (_HLG_GAMMA - 1)


def _method_a(light: np.ndarray) -> np.ndarray:
    """(N, 3) BT.2020 light, 1 at the peak, to display-referred R'G'B' for gamma 2.4 (BT.2446-1, section 4.2)."""
    encoded = light ** (1 / 2.4)
    luma = (encoded @ _LUMA)[:, None]
    rho_hdr, rho_sdr = (1 + 32 * (peak / 10000) ** (1 / 2.4) for peak in (PEAK, WHITE))
    perceived = np.log1p((rho_hdr - 1) * luma) / np.log(rho_hdr)
    compressed = np.where(
        perceived <= 0.7399,
        1.0770 * perceived,
        np.where(perceived < 0.9909, -1.1510 * perceived**2 + 2.7811 * perceived - 0.6302, 0.5 * perceived + 0.5),
    )
    mapped = (rho_sdr**compressed - 1) / (rho_sdr - 1)
    scale = mapped / (1.1 * np.maximum(luma, 1e-9))
    blue = scale * (encoded[:, 2:] - luma) / 1.8814
    red = scale * (encoded[:, :1] - luma) / 1.4746
    corrected = mapped - np.maximum(0.1 * red, 0)
    r, b = corrected + 1.4746 * red, corrected + 1.8814 * blue
    g = (corrected - _LUMA[0] * r - _LUMA[2] * b) / _LUMA[1]
    return np.clip(np.concatenate([r, g, b], axis=1), 0, 1)
