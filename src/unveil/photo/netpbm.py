"""PGM and PPM of 8 and 16 bits, and PFM of floats: a line of text and the samples (netpbm.sourceforge.net/doc, P5, P6, PF, Pf)."""

from __future__ import annotations

import re
import sys

import numpy as np

# A word, with blanks and comments before it.
_WORD = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")
COUNTED = (b"P5", b"P6", b"PF", b"Pf")
MARKS = (b"P1", b"P2", b"P3", b"P4", *COUNTED)


def starts(data: bytes) -> bool:
    """Whether a file begins as one of these."""
    return data[:2] in MARKS and data[2:3].isspace()


def head(data: bytes) -> tuple[bytes, int, int, float, int]:
    """(mark, width, height, largest value or scale, where samples begin). Raises ValueError where that cannot be read."""
    words, at = [], 0
    for _ in range(3 if data[:2] in (b"P1", b"P4") else 4):
        found = _WORD.match(data, at)
        if found is None:
            raise ValueError("its first lines are cut short")
        words.append(found[1])
        at = found.end()
    return words[0], int(words[1]), int(words[2]), float(words[3]) if len(words) > 3 else 1, at + 1


def decode(data: bytes) -> np.ndarray:
    """(H, W, 1 or 3) samples, uint8, uint16 or float32, of P5, P6, Pf and PF. Raises ValueError where some are missing."""
    _, width, height, top, start = head(data)
    channels, kind = _samples(data)
    count = width * height * channels
    if len(data) < size(data):
        raise ValueError("samples are missing; the file is cut short")
    samples = np.frombuffer(data, kind, count, start).reshape(height, width, channels).astype(kind.newbyteorder("="))
    if kind.kind == "f":
        return samples[::-1]  # from the bottom up
    room = 255 if kind.itemsize == 1 else 65535
    return samples if top == room else np.rint(np.minimum(samples / np.float32(top), 1) * room).astype(samples.dtype)


def _samples(data: bytes) -> tuple[int, np.dtype]:
    """(how many a pixel, their type) of P5, P6, Pf and PF."""
    mark, _, _, top, _ = head(data)
    channels = 3 if mark in (b"P6", b"PF") else 1
    if mark in (b"PF", b"Pf"):
        return channels, np.dtype("<f4" if top < 0 else ">f4")
    if not 1 <= top <= 65535:
        raise ValueError(f"its largest value is {top:g}, which a PPM cannot have")
    return channels, np.dtype("u1" if top < 256 else ">u2")


def size(data: bytes) -> int:
    """The bytes that a whole file of P5, P6, Pf or PF has at least, by its first lines. Raises ValueError where those cannot be read."""
    _, width, height, _, start = head(data)
    channels, kind = _samples(data)
    return start + width * height * channels * kind.itemsize


def encode(samples: np.ndarray) -> bytes:
    """P5 or P6 of integers, Pf or PF of floats, of (H, W, 1 or 3) samples."""
    height, width, channels = samples.shape
    if samples.dtype.kind == "f":
        mark, top = ("PF" if channels == 3 else "Pf"), "-1.0" if sys.byteorder == "little" else "1.0"
        return f"{mark}\n{width} {height}\n{top}\n".encode() + samples[::-1].astype(np.float32).tobytes()
    mark, top = ("P6" if channels == 3 else "P5"), np.iinfo(samples.dtype).max
    return f"{mark}\n{width} {height}\n{top}\n".encode() + samples.astype(samples.dtype.newbyteorder(">")).tobytes()
