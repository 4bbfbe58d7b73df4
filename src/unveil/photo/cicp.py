"""Colours told by number and not by a profile (ITU-T H.273, as in nclx boxes and PNG's cICP), and by EXIF, as an equivalent profile."""

from __future__ import annotations

from functools import cache

import numpy as np

from unveil.photo import icc
from unveil.photo.srgb import D65, SRGB_PRIMARIES, rgb_to_xyz

HDR = {16: "PQ", 18: "HLG"}
UNSTATED = 2
_C, _E, _DCI = (0.310, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_SMPTE = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
# Name, red, green and blue, white, by the number of the primaries.
PRIMARIES: dict[int, tuple[str, tuple[tuple[float, float], ...], tuple[float, float]]] = {
    1: ("sRGB", SRGB_PRIMARIES, D65),
    4: ("BT.470 M", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),
    5: ("BT.601 (625 lines)", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), D65),
    6: ("BT.601 (525 lines)", _SMPTE, D65),
    7: ("SMPTE 240M", _SMPTE, D65),
    8: ("film", ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65),
    10: ("XYZ", ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), _E),
    11: ("DCI P3", _P3, _DCI),
    12: ("Display P3", _P3, D65),
    22: ("EBU 3213", ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), D65),
}
# Stills are shown as they are by what browsers do: every curve of the BT.709 family is taken for sRGB's.
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, UNSTATED, 6, 7, 11, 12, 13, 14, 15), icc.SRGB_CURVE), 4: (2.2,), 5: (2.8,), 8: (1.0,), 17: (2.6,),
}  # fmt: skip
ADOBE_GAMMA = 563 / 256


def profile(primaries: int, transfer: int, grey: bool = False) -> bytes | None:
    """A profile of what the numbers mean, None where that is sRGB or not told. Raises ValueError for numbers that mean nothing here."""
    curve = _CURVES.get(transfer)
    if curve is None or (primaries not in PRIMARIES and primaries != UNSTATED):
        raise ValueError(
            f"its colours are told by numbers that are not read (primaries {primaries}, transfer {transfer})"
        )
    primaries = 1 if primaries == UNSTATED else primaries
    if (primaries == 1 or grey) and curve is icc.SRGB_CURVE:
        return None
    name, colours, white = PRIMARIES[primaries]
    return chromatic(name, colours, white, curve, grey)


@cache
def chromatic(
    name: str,
    colours: tuple[tuple[float, float], ...],
    white: tuple[float, float],
    curve: tuple[float, ...],
    grey: bool = False,
) -> bytes:
    """A profile from chromaticities and a curve as `icc.build` takes it. Raises ValueError where they span no colours."""
    try:
        matrix = None if grey else rgb_to_xyz(colours, white)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        matrix = np.zeros((3, 3))
    if matrix is not None and not (np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-4):
        raise ValueError("its primaries span no colours")
    kind = "sRGB curve" if curve is icc.SRGB_CURVE else f"gamma {curve[0]:.4g}"
    return icc.build(f"{name}, {kind}" if not grey else f"grey, {kind}", matrix, curve)


def adobe_rgb(grey: bool = False) -> bytes:
    """Adobe RGB (1998), which cameras tell by EXIF alone."""
    return chromatic("Adobe RGB (1998)", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, (ADOBE_GAMMA,), grey)
