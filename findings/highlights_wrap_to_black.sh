#!/bin/sh
# Guess: a float picture a little over 1 is clipped where it is written with 8 bits.
. "$(dirname "$0")/_room.sh"
room colour-science==0.4.7 imageio==2.38.1 pillow==12.3.0 numpy==2.4.6
look <<'PY'
import warnings

warnings.simplefilter("ignore")
import colour
import imageio.v3
import numpy as np

values = (-0.01, 0.0, 0.5, 1.0, 1.002, 1.01, 1.5)
picture = np.array(values)[None, :, None] * np.ones((4, 1, 3))
print(f"colour-science {colour.__version__}: write_image of floats as an 8-bit PNG through imageio, the way without OpenImageIO")
print("most would guess: -.01 is 0, and 1.002, 1.01 and 1.5 are 255")
colour.write_image(picture, "out.png", bit_depth="uint8", method="Imageio")
seen = [int(v) for v in imageio.v3.imread("out.png")[0, :, 0]]
print("seen: " + ", ".join(f"{value:g} is {level}" for value, level in zip(values, seen)))
deep = [int(v) for v in colour.io.convert_bit_depth(np.array(values), "uint16")]
print(f"seen: convert_bit_depth to 16 bits: {', '.join(f'{value:g} is {level}' for value, level in zip(values, deep))}")
print("The rounded number is cast and so taken modulo 256: overshoots at a bright edge are black dots, a hair below black is white")
raise SystemExit(not (seen[0] > 240 and seen[3] == 255 and seen[4] == 0 and seen[5] < 5 and deep[5] < 1000))
PY
