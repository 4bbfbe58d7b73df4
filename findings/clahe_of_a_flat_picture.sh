#!/bin/sh
# Guess: CLAHE, whose limit is there to hold contrast back where there is none, leaves a flat grey as it is, in whichever library.
. "$(dirname "$0")/_room.sh"
room scikit-image==0.26.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
look <<'PY'
import cv2
import numpy as np
import skimage
from skimage.exposure import equalize_adapthist

print(f"scikit-image {skimage.__version__} and OpenCV {cv2.__version__}: CLAHE with default settings of flat pictures, by their level")
print("most would guess: 64, 128 and 192 come back as they are")
seen = {}
for level in (64, 128, 192):
    flat = np.full((128, 128), level, np.uint8)
    one = np.unique(np.rint(255 * equalize_adapthist(flat)))
    other = np.unique(cv2.createCLAHE().apply(flat))
    deep = np.unique(np.rint(cv2.createCLAHE().apply(np.full((128, 128), 257 * level, np.uint16)) / 257))
    seen[level] = [*map(int, one), *map(int, other), *map(int, deep)]
    print(f"seen: {level} becomes {seen[level][0]} with scikit-image, {seen[level][1]} with OpenCV, {seen[level][2]} with OpenCV in 16 bits")
print("Clear skies, letterbox bars and studio backgrounds move by this much, and differently in each library")
white = all(s[0] == 255 for s in seen.values())
raise SystemExit(not (white and seen[128][1] > 160 and abs(seen[128][2] - 128) < 8))
PY
