"""BMP with transparency, which Pillow writes without saying so: a version 4 header with masks for 32 bits."""

from __future__ import annotations

import struct

import numpy as np

HEADER = 108
MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
INCHES_PER_METRE = 39.3701


def encode_rgba(samples: np.ndarray, dpi: tuple[float, float] | None) -> bytes:
    """A BMP of (H, W, 4) uint8 RGBA samples."""
    height, width = samples.shape[:2]
    offset, size = 14 + HEADER, width * height * 4
    density = [round(d * INCHES_PER_METRE) for d in dpi or (0.0, 0.0)]
    file_header = struct.pack("<2sIHHI", b"BM", offset + size, 0, 0, offset)
    # 3: the masks that follow say which bits are which colour.
    info = struct.pack("<IiiHHIIiiII", HEADER, width, height, 1, 32, 3, size, *density, 0, 0)
    space = struct.pack("<4I4s", *MASKS, b"BGRs") + bytes(36 + 12)
    rows = np.ascontiguousarray(samples[::-1, :, [2, 1, 0, 3]])
    return file_header + info + space + rows.tobytes()
