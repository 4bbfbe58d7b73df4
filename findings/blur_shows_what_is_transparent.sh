#!/bin/sh
# Guess: Pillow's filters treat transparent pixels as its resize does, which weighs colours by alpha.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 numpy==2.4.6
look <<'PY'
import numpy as np
import PIL
from PIL import Image, ImageFilter

pixels = np.zeros((64, 64, 4), np.uint8)
pixels[:, :32] = (255, 0, 0, 255)
pixels[:, 32:] = (0, 255, 0, 0)
image = Image.fromarray(pixels)
green = {
    "resize": np.asarray(image.resize((17, 17), Image.Resampling.BICUBIC)),
    "rotate": np.asarray(image.rotate(30, Image.Resampling.BICUBIC)),
    "GaussianBlur": np.asarray(image.filter(ImageFilter.GaussianBlur(3))),
    "BoxBlur": np.asarray(image.filter(ImageFilter.BoxBlur(3))),
}
seen = {name: int(made[..., 1][made[..., 3] > 0].max()) for name, made in green.items()}
print(f"Pillow {PIL.__version__}: opaque red beside green that is wholly transparent")
print("most would guess: no green in what can be seen afterwards")
for name, level in seen.items():
    print(f"seen: {name}: green of up to {level} where alpha is above 0")
print("Resizing weighs the colours by alpha, blurring does not: a rim in the colour of what nobody saw")
raise SystemExit(not (seen["resize"] == seen["rotate"] == 0 and seen["GaussianBlur"] > 100 and seen["BoxBlur"] > 100))
PY
