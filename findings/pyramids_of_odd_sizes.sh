#!/bin/sh
# Guess: kornia's pyrdown is OpenCV's pyrDown: (n + 1) // 2 pixels, and the same ones away from the border.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 kornia==0.9.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
look <<'PY'
import cv2, kornia, numpy as np, torch

def both(image):
    ours = kornia.geometry.pyrdown(torch.from_numpy(image)[None, None])[0, 0].numpy()
    return ours, cv2.pyrDown(image)

random = np.random.default_rng(0).random((33, 47), dtype=np.float32)
odd = both(random)
ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
even = both(ramp)
moved = float((even[0] - even[1])[8:-8, 8:-8].mean())
print(f"kornia {kornia.__version__}, OpenCV {cv2.__version__}")
print("most would guess: 33x47 becomes 17x24 in both, and a ramp the same ramp")
print(f"seen: {odd[0].shape} and {odd[1].shape}; on a ramp kornia's pixels lie {moved:+.3f} pixels further, between OpenCV's")
raise SystemExit(not (odd[0].shape == (16, 23) and odd[1].shape == (17, 24) and abs(moved - 0.5) < 0.01))
PY
