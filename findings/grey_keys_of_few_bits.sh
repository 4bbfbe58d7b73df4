#!/bin/sh
# Guess: a grey PNG with one transparent grey (tRNS) opens transparent there, whatever its bits a pixel.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 numpy==2.4.6
look <<'PY'
import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image


def png(depth, key, row, width):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tRNS", struct.pack(">H", key)) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


# Four pixels, of which the second has the transparent grey; of one bit eight, every second one.
files = {1: (1, b"\x55", 8), 2: (1, b"\x1b", 4), 4: (5, b"\x05\xaf", 4), 8: (77, b"\x00\x4d\x5a\xff", 4)}
print(f"Pillow {PIL.__version__}: grey PNGs with one transparent grey, as RGBA")
print("most would guess: the pixels of that grey are transparent, of 1, 2, 4 and 8 bits")
seen = {}
for depth, (key, row, width) in files.items():
    alpha = np.asarray(Image.open(io.BytesIO(png(depth, key, row, width))).convert("RGBA"))[0, :, 3]
    seen[depth] = int((alpha == 0).sum())
    print(f"seen: {depth} bits: {seen[depth]} of {width} pixels are transparent")
print("Samples of 2 and 4 bits are widened to 8 bits, the grey that they are compared with is not")
raise SystemExit(seen != {1: 4, 2: 0, 4: 0, 8: 1})
PY
