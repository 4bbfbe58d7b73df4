"""Files made by hand or with the reference libraries, for reading."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

# Published chromaticities: IEC 61966-2-1, SMPTE EG 432-1 (Display P3, with D65), Adobe RGB (1998) section 4.3.
PRIMARIES = {
    "srgb": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "adobe": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
}
D65 = (0.3127, 0.3290)
D50 = np.array([0.9642, 1.0, 0.8249])
SRGB_PARAMETERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
ADOBE_GAMMA = 563 / 256


def to_xyz(space: str) -> np.ndarray:
    """(3, 3) linear RGB to XYZ, adapted from D65 to D50 with the Bradford cone responses."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in PRIMARIES[space]]).T
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.inv(cones) @ np.diag(cones @ D50 / (cones @ white)) @ cones
    return adapt @ xyz @ np.diag(np.linalg.inv(xyz) @ white)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _profile(space: bytes, pcs: bytes, kind: bytes, tags: dict[bytes, bytes], version: int = 0x02100000) -> bytes:
    text = b"test profile\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(8 + 3 + 67),
        b"cprt": b"text" + bytes(4) + b"public domain\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50),
        **tags,
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"none", version, kind, space, pcs)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def curve(gamma: float | tuple[float, ...] | np.ndarray) -> bytes:
    """A tone curve tag: a power, a parametric curve (type by the number of parameters), or a table."""
    if isinstance(gamma, np.ndarray):
        return b"curv" + bytes(4) + struct.pack(f">I{len(gamma)}H", len(gamma), *np.rint(gamma * 65535).astype(int))
    if isinstance(gamma, tuple):
        return b"para" + bytes(4) + struct.pack(">HH", {1: 0, 3: 1, 4: 2, 5: 3, 7: 4}[len(gamma)], 0) + _fixed(*gamma)
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def matrix_profile(space: str, tone: Any = None) -> bytes:
    """A display profile of three primaries and one tone curve."""
    tone = tone if tone is not None else (ADOBE_GAMMA if space == "adobe" else SRGB_PARAMETERS)
    tags = {name + b"TRC": curve(tone) for name in (b"r", b"g", b"b")}
    for name, column in zip((b"r", b"g", b"b"), to_xyz(space).T, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*column)
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags, 0x04200000 if isinstance(tone, tuple) else 0x02100000)


def grey_profile(tone: Any) -> bytes:
    """A grey profile of one tone curve."""
    return _profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": curve(tone)})


def _lut16(inputs: int, nodes: int, table: np.ndarray) -> bytes:
    """A 16-bit lookup table with straight input and output curves. table: (nodes ** inputs, outputs) in [0, 1]."""
    outputs = table.shape[1]
    straight = struct.pack(">2H", 0, 65535)
    head = b"mft2" + bytes(4) + struct.pack(">BBBx", inputs, outputs, nodes) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    values = np.rint(np.clip(table, 0, 1) * 65535).astype(">u2").tobytes()
    return head + struct.pack(">HH", 2, 2) + straight * inputs + values + straight * outputs


def _lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB-encoded (N, 3) to Lab as a profile's 16-bit numbers in [0, 1]."""
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    t = light @ to_xyz("srgb").T / D50
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    return np.stack([lab[:, 0] * 652.8, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], axis=1) / 65535


def _rgb(encoded: np.ndarray) -> np.ndarray:
    """The inverse of _lab, clipped to the sRGB gamut."""
    lab = encoded * 65535 / [652.8, 256, 256] - [0, 128, 128]
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    t = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    light = np.clip(t * D50 @ np.linalg.inv(to_xyz("srgb")).T, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _grid(inputs: int, nodes: int) -> np.ndarray:
    return np.array(list(itertools.product(np.linspace(0, 1, nodes), repeat=inputs)))


def table_profile(
    space: bytes, to_rgb: Callable[[np.ndarray], np.ndarray], from_rgb: Callable[[np.ndarray], np.ndarray]
) -> bytes:
    """A profile of lookup tables (RGB or CMYK), from functions between its samples and sRGB."""
    inputs = len(space.strip())
    nodes = {3: 17, 4: 9}[inputs]
    tags = {
        b"A2B0": _lut16(inputs, nodes, _lab(to_rgb(_grid(inputs, nodes)))),
        b"B2A0": _lut16(3, 33, from_rgb(_rgb(_grid(3, 33)))),
    }
    return _profile(space, b"Lab ", b"prtr", tags)


def plain_inks(rgb: np.ndarray) -> np.ndarray:
    black = 0.9 * (1 - rgb.max(axis=1, keepdims=True))
    return np.concatenate([1 - rgb / (1 - black), black], axis=1)


def cmyk_profile() -> bytes:
    """A CMYK profile in which every ink takes away its share of light, and little less black than possible is printed."""
    return table_profile(b"CMYK", lambda inks: (1 - inks[:, :3]) * (1 - inks[:, 3:]), plain_inks)


def random(shape: tuple[int, ...], dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    """Samples of every value: what is hardest to bring back exactly."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0.5, 0.4, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """uint8 waves, as JPEG likes them."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + c) + c) + np.cos(y / (7 - c)) for c in range(channels)]
    return (np.stack(waves, axis=-1) * 50 + 128).astype(np.uint8)


MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def pillow(samples: np.ndarray, format: str, mode: str | None = None, **options: Any) -> bytes:
    """uint8 (H, W, C) samples written by Pillow, HEIF by its plugin; the test is skipped where that is not installed."""
    height, width, channels = samples.shape
    out = io.BytesIO()
    image = Image.frombytes(mode or MODES[channels], (width, height), samples.tobytes())
    if image.mode == "P":  # without a palette Pillow 12 writes a BMP that has none either
        image.putpalette(bytes(level for level in range(256) for _ in range(3)))
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
        image.info["icc_profile"] = options.pop("icc_profile", None)
    image.save(out, format, **options)
    return out.getvalue()


def tiff(samples: np.ndarray, photometric: str = "rgb", **options: Any) -> bytes:
    """(H, W, C) samples of any type written by tifffile; extra=: the meaning of a channel beside the colours."""
    out = io.BytesIO()
    extra = options.pop("extra", None)
    grey = samples.shape[2] == 1
    planar = options.pop("planarconfig", None if grey else "contig")
    if planar == "separate":
        samples = np.moveaxis(samples, 2, 0)
    tifffile.imwrite(
        out, samples[..., 0] if grey else samples, photometric=photometric, planarconfig=planar, metadata=None,
        extrasamples=None if extra is None else [extra], **options,
    )  # fmt: skip
    return out.getvalue()


def png16(samples: np.ndarray, filters: tuple[int, ...] = (0,), interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """A 16-bit PNG by the letter of the standard, pixel by pixel: slow, and independent of the codec under test."""
    height, width, channels = samples.shape
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    body = b""
    for x, y, dx, dy in passes if interlaced else ((0, 0, 1, 1),):
        part = samples[y::dy, x::dx]
        if part.size:
            body += _filtered(part.astype(">u2"), filters)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, interlaced)
    half = zlib.compress(body)
    pieces = [chunk(b"IDAT", half[:7]), chunk(b"IDAT", half[7:])]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + b"".join(pieces) + chunk(b"IEND", b"")


def _filtered(samples: np.ndarray, filters: tuple[int, ...]) -> bytes:
    bpp = samples.shape[2] * 2
    rows = [samples[y].tobytes() for y in range(samples.shape[0])]
    above, out = bytes(len(rows[0])), b""
    for y, row in enumerate(rows):
        kind = filters[y % len(filters)]
        line = bytearray([kind])
        for i, value in enumerate(row):
            a, b, c = (row[i - bpp] if i >= bpp else 0), above[i], (above[i - bpp] if i >= bpp else 0)
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            line.append((value - (0, a, b, (a + b) // 2, nearest)[kind]) % 256)
        above = row
        out += line
    return out


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def exif(orientation: int = 1, gps: bool = True, extra: dict[int, Any] | None = None) -> Image.Exif:
    """An EXIF block as a camera writes it: maker, settings, position."""
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x0132] = "Maker", "Camera 5", "2024:06:01 12:30:00"
    block[0x0112] = orientation
    shooting = block.get_ifd(0x8769)
    shooting[0x829A], shooting[0x8827], shooting[0x9003] = (1, 250), 400, "2024:06:01 12:30:00"
    shooting[0x927C] = b"maker note that is longer than four bytes"
    shooting.update(extra or {})
    if gps:
        position = block.get_ifd(0x8825)
        position[1], position[2], position[3], position[4] = "N", (47.0, 22.0, 30.5), "E", (8.0, 32.0, 10.0)
    return block


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" title="Lake"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders above, since test modules cannot import each other."""
    return SimpleNamespace(
        matrix_profile=matrix_profile, grey_profile=grey_profile, cmyk_profile=cmyk_profile, table_profile=table_profile,
        random=random, smooth=smooth, pillow=pillow, tiff=tiff, png16=png16, chunk=chunk, exif=exif, xmp=XMP, to_xyz=to_xyz,
        plain_inks=plain_inks, srgb_parameters=SRGB_PARAMETERS,
    )  # fmt: skip
