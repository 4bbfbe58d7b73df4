"""Colour profiles of the matrix and tone curve kind (ICC.1:2022, sections 8.3, 10.6, 10.18): read into tables, and built.

Nearly every photograph with a profile has one of these. They are computed here, in floating point, because Pillow's colour management
takes 8-bit pixels only; profiles with lookup tables are left to it (spaces.py). They are built of colours that a file tells by number
(ITU-T H.273, as in nclx boxes and PNG's cICP), by chromaticities, or by EXIF.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

import numpy as np

from unveil.photo.srgb import D50_XYZ, D65, SRGB_PRIMARIES, rgb_to_xyz

# Steps of every tone curve: one per value of a 16-bit sample.
STEPS = 65536
MOST_TAGS = 1000


@dataclass(frozen=True, eq=False)
class Profile:
    """space: "RGB", "GRAY", "CMYK" or another four-letter name, without blanks.

    curves: (C, STEPS) float64, light for each encoded value in [0, 1]; None for profiles that need lookup tables.
    matrix: (3, 3), from linear RGB to XYZ under D50; None for grey.
    """

    space: str
    curves: np.ndarray | None = None
    matrix: np.ndarray | None = None


def parse(data: bytes) -> Profile:
    """Read a profile. Raises ValueError where it is damaged."""
    try:
        return _parse(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"damaged profile ({error})") from None


def _parse(data: bytes) -> Profile:
    if len(data) < 132 or data[36:40] != b"acsp":
        raise ValueError("not an ICC profile")
    space = data[16:20].decode("latin-1").strip()
    (count,) = struct.unpack_from(">I", data, 128)
    if count > MOST_TAGS:
        raise ValueError("damaged profile (too many tags)")
    tags = {}
    for index in range(count):
        name, offset, size = struct.unpack_from(">4sII", data, 132 + 12 * index)
        tags[name] = data[offset : offset + size]
    if b"A2B0" in tags or data[20:24] != b"XYZ ":
        return Profile(space)
    if space == "GRAY" and b"kTRC" in tags:
        return Profile(space, _curve(tags[b"kTRC"])[None])
    if space == "RGB" and all(name + part in tags for name in (b"r", b"g", b"b") for part in (b"XYZ", b"TRC")):
        curves = np.stack([_curve(tags[name + b"TRC"]) for name in (b"r", b"g", b"b")])
        matrix = np.stack([_xyz(tags[name + b"XYZ"]) for name in (b"r", b"g", b"b")], axis=1)
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-4:
            raise ValueError("damaged profile (its primaries span no colours)")
        return Profile(space, curves, matrix)
    return Profile(space)


def _fixed(data: bytes, at: int, count: int) -> np.ndarray:
    """Signed numbers with 16 fractional bits."""
    return np.array(struct.unpack_from(f">{count}i", data, at)) / 65536


def _xyz(tag: bytes) -> np.ndarray:
    if tag[:4] != b"XYZ ":
        raise ValueError("damaged profile (colorant of unknown type)")
    return _fixed(tag, 8, 3)


def _curve(tag: bytes) -> np.ndarray:
    """A tone curve sampled at STEPS equally spaced encoded values, clipped to [0, 1]."""
    x = np.linspace(0, 1, STEPS)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        points = np.array(struct.unpack_from(f">{count}H", tag, 12))
        y = x ** (points[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), points / 65535)
    elif tag[:4] == b"para":
        y = _parametric(tag, x)
    else:
        raise ValueError("damaged profile (tone curve of unknown type)")
    if not np.isfinite(y).all() or y[-1] - y[0] < 0.1:
        raise ValueError("damaged profile (tone curve does not rise)")
    # A curve must have an inverse: dips, which some measured curves have, are filled.
    return np.maximum.accumulate(np.clip(y, 0, 1))


def _parametric(tag: bytes, x: np.ndarray) -> np.ndarray:
    """The five parametric curves: Y = (aX + b)^g + e from d on, cX + f below; the shorter ones fix some parameters."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind > 4:
        raise ValueError("damaged profile (tone curve of unknown type)")
    p = _fixed(tag, 12, (1, 3, 4, 5, 7)[kind])
    g, a, b, c, d, e, f = (*p, *([0.0] * (7 - len(p))))
    if kind == 0:
        a, b, d = 1.0, 0.0, 0.0
    elif kind in (1, 2):
        # Below -b/a the curve is constant: 0, or the third parameter, which is then also added above.
        c, d, e, f = 0.0, (-b / a if a else 0.0), c, c
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def build(
    name: str, matrix: np.ndarray | None, curve: tuple[float, ...] = SRGB_CURVE, cicp: tuple[int, int] | None = None
) -> bytes:
    """The bytes of a profile (version 4.3) of the matrix and tone curve kind, under a name.

    matrix: (3, 3), from linear RGB to XYZ under D50; None for a grey profile. curve: one number: a power of that exponent. Five: g, a, b,
    c, d of the parametric curve that is (aX + b)^g from d on and cX below. cicp: primaries and transfer by their numbers in ITU-T H.273,
    for programs that prefer them.
    """
    curves = b"para" + bytes(4) + struct.pack(">HH", {1: 0, 5: 3}[len(curve)], 0) + _numbers(*curve)
    tags = {
        b"desc": _text(name),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": b"XYZ " + bytes(4) + _numbers(*D50_XYZ),
    }
    if matrix is None:
        tags[b"kTRC"] = curves
    else:
        for index, colour in enumerate((b"r", b"g", b"b")):
            tags[colour + b"XYZ"] = b"XYZ " + bytes(4) + _numbers(*matrix[:, index])
            tags[colour + b"TRC"] = curves
    if cicp:
        tags[b"cicp"] = b"cicp" + bytes(4) + struct.pack(">4B", *cicp, 0, 1)
    start = 132 + 12 * len(tags)
    table, body, places = b"", b"", dict[bytes, int]()
    for tag, content in tags.items():
        if content not in places:  # the three curves are one
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", tag, places[content], len(content))
    head = struct.pack(">I4xI", start + len(body), 0x04300000) + b"mntr" + (b"GRAY" if matrix is None else b"RGB ")
    head += b"XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    return head.ljust(68, b"\0") + _numbers(*D50_XYZ).ljust(60, b"\0") + struct.pack(">I", len(tags)) + table + body


def stated_cicp(data: bytes | None) -> tuple[int, int] | None:
    """Primaries and transfer that a profile states by number (its `cicp` tag), None where it does not."""
    if not data or len(data) < 132:
        return None
    for at in range(132, min(len(data) - 11, 132 + 12 * min(struct.unpack_from(">I", data, 128)[0], MOST_TAGS)), 12):
        name, offset, size = struct.unpack_from(">4sII", data, at)
        if name == b"cicp" and size >= 12 and offset + 12 <= len(data):
            return data[offset + 8], data[offset + 9]
    return None


def _numbers(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xIIHHII", 1, 12, 0x656E, 0x5553, len(encoded), 28) + encoded


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
    **dict.fromkeys((1, UNSTATED, 6, 7, 11, 12, 13, 14, 15), SRGB_CURVE), 4: (2.2,), 5: (2.8,), 8: (1.0,), 17: (2.6,),
}  # fmt: skip
ADOBE_GAMMA = 563 / 256


def profile(primaries: int, transfer: int, grey: bool = False) -> bytes | None:
    """A profile of what the numbers mean, None where that is sRGB or not stated. Raises ValueError for numbers that mean nothing here."""
    curve = _CURVES.get(transfer)
    if curve is None or (primaries not in PRIMARIES and primaries != UNSTATED):
        raise ValueError(
            f"its colours are told by numbers that are not read (primaries {primaries}, transfer {transfer})"
        )
    primaries = 1 if primaries == UNSTATED else primaries
    if (primaries == 1 or grey) and curve is SRGB_CURVE:
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
    """A profile from chromaticities and a curve as `build` takes it. Raises ValueError where they span no colours."""
    try:
        matrix = None if grey else rgb_to_xyz(colours, white)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        matrix = np.zeros((3, 3))
    if matrix is not None and not (np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-4):
        raise ValueError("its primaries span no colours")
    kind = "sRGB curve" if curve is SRGB_CURVE else f"gamma {curve[0]:.4g}"
    return build(f"{name}, {kind}" if not grey else f"grey, {kind}", matrix, curve)


def adobe_rgb(grey: bool = False) -> bytes:
    """Adobe RGB (1998), which cameras tell by EXIF alone."""
    return chromatic("Adobe RGB (1998)", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, (ADOBE_GAMMA,), grey)
