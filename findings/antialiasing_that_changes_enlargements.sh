#!/bin/sh
# Guess: antialiasing is for pictures that shrink, so that a picture enlarged by bicubic interpolation is the same with it and without.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 pillow==12.3.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
look <<'PY'
import cv2
import numpy as np
import PIL
import torch
from PIL import Image

noise = np.random.default_rng(0).random((64, 64), dtype=np.float32)
step = np.zeros((64, 64), np.float32)
step[:, 32:] = 1


def by_torch(picture, antialias, mode="bicubic"):
    x = torch.from_numpy(picture)[None, None]
    return torch.nn.functional.interpolate(x, size=(128, 128), mode=mode, antialias=antialias)[0, 0].numpy()


def away(one, other):
    return float(np.abs(one - other).max() * 255)


print(f"torch {torch.__version__}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}: 64x64 to 128x128, distances in levels of 255")
print("most would guess: one bicubic picture, to .01 levels, from torch with and without antialiasing, Pillow and OpenCV")
plain, smooth = by_torch(noise, False), by_torch(noise, True)
pillow = np.asarray(Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC))
opencv = cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
flag, first, second = away(plain, smooth), away(smooth, pillow), away(plain, opencv)
linear = away(by_torch(noise, False, "bilinear"), by_torch(noise, True, "bilinear"))
print(f"seen: torch with and without, bicubic {flag:.2f} (bilinear {linear:.2f}); Pillow is torch with it to {first:.4f}, OpenCV torch without to {second:.4f}")
over = [float(by_torch(step, a).max() - 1) * 255 for a in (False, True)]
print(f"seen: an edge overshoots by {over[0]:.1f} levels without and {over[1]:.1f} with it")
print("Two kernels bear the name: a = -0.75 without antialiasing and in OpenCV, a = -0.5 with it and in Pillow, whether the picture grows or not")
raise SystemExit(not (flag > 10 and linear < 0.01 and first < 0.01 and second < 0.01 and over[0] - over[1] > 5))
PY
