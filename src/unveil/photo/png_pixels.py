"""The pixels of a PNG: 16-bit decoding, which Pillow cannot do for colour, and encoding of 8 and 16 bits."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from unveil.photo import png
from unveil.photo.png_filters import choose, unfilter

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
COLOUR_TYPES = {channels: kind for kind, channels in CHANNELS.items()}
# The seven passes of interlacing (Adam7): first column, first row, and the distances between columns and rows.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
COMPRESSION = 5
BAND = 64
# The signature and the header chunk.
_AFTER_HEADER = 33


def decode16(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour samples (H, W, 1 or 3) and alpha (H, W) or None, uint16, of a 16-bit PNG; a transparent colour becomes alpha.

    Raises ValueError: not 16-bit, damaged, or cut short.
    """
    header, transparent, body, ended = _collect(data)
    library = _library()
    if library is not None and transparent is None and ended:
        try:
            samples = library.png_decode(data)
        except RuntimeError:  # the slower way says in words what is wrong
            samples = None
        if samples is not None and samples.dtype == np.uint16:
            samples = samples[..., None] if samples.ndim == 2 else samples
            if samples.shape[2] in (2, 4):
                return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])
            return samples, None
    width, height, bits, colour, compression, method, interlace = struct.unpack(">IIBBBBB", header)
    if bits != 16 or colour not in CHANNELS or compression or method or interlace > 1:
        raise ValueError(f"unknown kind of PNG (depth {bits}, colour type {colour}, interlace {interlace})")
    channels = CHANNELS[colour]
    if interlace:
        samples = _interlaced(body, width, height, channels)
    else:
        samples = _rows(_inflate(body, height * (1 + width * channels * 2)), width, height, channels)
    if not ended:
        raise ValueError("no end marker; the file is cut short")
    if channels in (2, 4):
        return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])
    if transparent is not None and len(transparent) == 2 * channels:
        key = np.array(struct.unpack(f">{channels}H", transparent), np.uint16)
        return samples, np.where((samples == key).all(axis=-1), 0, 65535).astype(np.uint16)
    return samples, None


def _library() -> Any:
    """imagecodecs, which is four times faster, or None where it is not installed."""
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs if imagecodecs.PNG.available else None


def _collect(data: bytes) -> tuple[bytes, bytes | None, list[bytes], bool]:
    header, transparent, body, ended = b"", None, [], False
    for kind, content, sound in png.chunks(data):
        if not sound and kind in ("IHDR", "IDAT", "tRNS"):
            raise ValueError(f"wrong checksum in {kind}")
        if kind == "IHDR" and len(content) == 13:
            header = content
        elif kind == "tRNS":
            transparent = content
        elif kind == "IDAT":
            body.append(content)
        elif kind == "IEND":
            ended = True
    if not header or not body:
        raise ValueError("no pixels; the file is cut short")
    return header, transparent, body, ended


def _inflate(body: list[bytes], size: int) -> np.ndarray:
    """Exactly `size` bytes of the stream that the pieces form together; never more are unpacked, whatever it claims to hold."""
    decoder = zlib.decompressobj()
    parts: list[bytes] = []
    left = size
    try:
        for piece in body:
            parts.append(decoder.decompress(piece, left))
            left -= len(parts[-1])
            if not left:
                break
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if left:
        raise ValueError("pixels are missing; the file is cut short")
    return np.frombuffer(b"".join(parts), np.uint8)


def _rows(raw: np.ndarray, width: int, height: int, channels: int) -> np.ndarray:
    bpp = channels * 2
    plain = unfilter(raw.reshape(height, 1 + width * bpp), bpp)
    return plain.view(">u2").astype(np.uint16).reshape(height, width, channels)


def _interlaced(body: list[bytes], width: int, height: int, channels: int) -> np.ndarray:
    sizes = [(max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))) for x, y, dx, dy in ADAM7]
    lengths = [h * (1 + w * channels * 2) if w and h else 0 for w, h in sizes]
    raw = _inflate(body, sum(lengths))
    out = np.empty((height, width, channels), np.uint16)
    at = 0
    for (x, y, dx, dy), (w, h), length in zip(ADAM7, sizes, lengths, strict=True):
        if length:
            out[y::dy, x::dx] = _rows(raw[at : at + length], w, h, channels)
        at += length
    return out


def encode(samples: np.ndarray, head: bytes = b"") -> bytes:
    """A PNG of (H, W, C) uint8 or uint16 samples; C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. head: chunks put before the pixels."""
    library = _library()
    if library is not None:
        try:
            whole = library.png_encode(
                np.ascontiguousarray(samples[..., 0] if samples.shape[2] == 1 else samples), level=4
            )
            return whole[:_AFTER_HEADER] + head + whole[_AFTER_HEADER:]
        except RuntimeError:
            pass  # it has too little room for pictures of one column
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8
    bpp = channels * samples.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[channels], 0, 0, 0)
    out = [png.SIGNATURE, png.chunk("IHDR", header), head]
    packer = zlib.compressobj(COMPRESSION)
    above = np.zeros(width * bpp, np.uint8)
    for top in range(0, height, BAND):
        band = np.ascontiguousarray(samples[top : top + BAND]).astype(samples.dtype.newbyteorder(">"), copy=False)
        rows = np.ascontiguousarray(band).view(np.uint8).reshape(-1, width * bpp)
        piece = packer.compress(choose(rows, above, bpp).tobytes())
        if piece:
            out.append(png.chunk("IDAT", piece))
        above = rows[-1]
    out += [png.chunk("IDAT", packer.flush()), png.chunk("IEND", b"")]
    return b"".join(out)
