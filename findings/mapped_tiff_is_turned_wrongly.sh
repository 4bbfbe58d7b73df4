#!/bin/sh
# Guess: a TIFF that is to be shown turned comes upright, whether it is opened by path or from memory, compressed or not.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 numpy==2.4.6
look <<'PY'
import io
import sys

import numpy as np
import PIL
from PIL import Image

stored = np.arange(24 * 32, dtype=np.uint32).reshape(24, 32).astype(np.uint8)
upright = np.rot90(stored, -1)
print(f"Pillow {PIL.__version__}: a TIFF of 32 x 24 with orientation 6 (turn by 90 degrees), opened, then loaded")
print("most would guess: upright pixels, 24 x 32, whether opened by path or from memory, compressed or not")
seen = {}
for compression in ("raw", "tiff_deflate"):
    image = Image.fromarray(stored)
    tags = image.getexif()
    tags[0x0112] = 6
    image.save("a.tif", exif=tags, compression=compression)
    for source in ("path", "memory"):
        with Image.open("a.tif" if source == "path" else io.BytesIO(open("a.tif", "rb").read())) as opened:
            told = opened.size
            opened.load()
            pixels = np.asarray(opened)
            right = pixels.shape == upright.shape and bool((pixels == upright).all())
            seen[compression, source] = right
            print(f"seen: {compression:13} by {source:6}: size before loading {told}, after {opened.size}, upright: {right}")
expected = {("raw", "path"): False, ("raw", "memory"): True, ("tiff_deflate", "path"): True, ("tiff_deflate", "memory"): True}
print("Uncompressed and by path it is mapped with the turned width: the rows are cut at the wrong places")
sys.exit(seen != expected)
PY
