#!/bin/sh
# Guess: a picture with transparency that Pillow brought to 256 colours is transparent in a GIF where it is in a PNG.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 numpy==2.4.6
look <<'PY'
import io

import numpy as np
import PIL
from PIL import Image

y, x = np.mgrid[:32, :32]
hidden = (x - 16) ** 2 + (y - 16) ** 2 >= 100
pixels = np.stack([8 * x, 8 * y, 0 * x, np.where(hidden, 0, 255)], axis=2).astype(np.uint8)
image = Image.fromarray(pixels)
few = image.quantize(256, Image.Quantize.FASTOCTREE)


def transparent(picture, name):
    file = io.BytesIO()
    picture.save(file, name)
    return int((np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGBA"))[..., 3] == 0).sum())


seen = {"PNG": transparent(few, "PNG"), "GIF": transparent(few, "GIF"), "GIF of all colours": transparent(image, "GIF")}
print(f"Pillow {PIL.__version__}: {int(hidden.sum())} of 1024 pixels are transparent, brought to 256 colours by quantize()")
print("most would guess: so many are transparent in a PNG and in a GIF of it")
for name, count in seen.items():
    print(f"seen: {name}: {count}")
print("The palette keeps its alpha, and a GIF is written without its transparent colour; from RGBA it is written with one")
raise SystemExit(seen != {"PNG": int(hidden.sum()), "GIF": 0, "GIF of all colours": int(hidden.sum())})
PY
