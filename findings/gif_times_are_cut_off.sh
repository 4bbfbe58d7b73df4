#!/bin/sh
# Guess: a clip of 33 or 39 ms a frame that is written as GIF keeps its length to a hundredth of a second or so a frame, rounded.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 numpy==2.4.6
look <<'PY'
import io

import numpy as np
import PIL
from PIL import Image

frames = [Image.fromarray(np.full((8, 8, 3), 9 * i, np.uint8)) for i in range(25)]
print(f"Pillow {PIL.__version__}: 25 frames written as an animated GIF, which counts hundredths of a second")
print("most would guess: 33 ms a frame become 30, and 39 become 40")
seen = {}
for length in (33, 39):
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=length)
    again, total = Image.open(io.BytesIO(file.getvalue())), 0
    for number in range(again.n_frames):
        again.seek(number)
        total += again.info["duration"]
    seen[length] = total
    print(f"seen: {25 * length} ms became {total}")
print("Times are cut off, frame by frame: a clip of 39 ms plays a quarter faster, and by more the shorter its frames")
raise SystemExit(seen != {33: 750, 39: 750})
PY
