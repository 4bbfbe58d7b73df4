#!/bin/sh
# Guess: OpenCV's Lab of 32-bit floats is calculated in floats: greys have a = b = 0, and the way there and back is exact to 1e-4.
. "$(dirname "$0")/_room.sh"
room opencv-python-headless==5.0.0.93 scikit-image==0.26.0 numpy==2.4.6
look <<'PY'
import cv2, numpy as np, skimage
from skimage.color import deltaE_ciede2000, rgb2lab

grey = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2)
colour = float(np.abs(cv2.cvtColor(grey, cv2.COLOR_RGB2Lab)[..., 1:]).max())
image = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
lab = cv2.cvtColor(image, cv2.COLOR_RGB2Lab)
back = float(np.abs(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB) - image).max() * 255)
off = float(deltaE_ciede2000(lab.astype(float), rgb2lab(image.astype(float))).max())
print(f"OpenCV {cv2.__version__}, scikit-image {skimage.__version__}")
print("most would guess: no colour in greys, back to 0.03 levels of 255, and scikit-image's values to 0.01")
print(f"seen: greys with a or b of {colour:.3f}, back to {back:.2f} levels, up to {off:.2f} of CIEDE2000 from scikit-image: a table is read")
raise SystemExit(not (colour > 0.1 and back > 0.5 and off > 0.3))
PY
