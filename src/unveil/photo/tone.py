"""High dynamic range stills to standard range: ITU-R BT.2446-1, method A, from 1000 to 100 cd/m2."""

from __future__ import annotations

import numpy as np

from unveil.photo.icc import PRIMARIES, UNSTATED
from unveil.photo.srgb import SRGB_TO_XYZ, encode, rgb_to_xyz

PEAK, WHITE = 1000.0, 100.0
_LUMA = np.array([0.2627, 0.6780, 0.0593])
_WIDE_TO_XYZ = rgb_to_xyz(*PRIMARIES[9][1:])
# BT.2100: the constants of PQ (table 4) and of HLG (table 5).
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2


def to_srgb(signal: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """Tone-map HDR samples.

    Args:
        signal: (N, 3) encoded samples in [0, 1].
        primaries: Their number in H.273.
        transfer: 16 for PQ, 18 for HLG.

    Returns:
        (N, 3) float32 sRGB in [0, 1].
    """
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
