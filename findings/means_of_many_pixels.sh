#!/bin/sh
# Guess: the mean of each channel of a float32 photograph is right to 1e-4, as the mean of all of its values is.
. "$(dirname "$0")/_room.sh"
room numpy==2.4.6
look <<'PY'
import numpy as np

image = np.full((3000, 4000, 3), 0.7, dtype=np.float32)
channels, everything = image.mean(axis=(0, 1)), image.mean()
spread = image.std(axis=(0, 1))
planes = image.transpose(2, 0, 1).copy().mean(axis=(1, 2))
exact = image.mean(axis=(0, 1), dtype=np.float64)
print(f"NumPy {np.__version__}: 12 megapixels, float32, every value 0.7")
print("most would guess: mean 0.7000 and deviation 0.0000 of each channel")
print(f"seen: image.mean(axis=(0, 1)) is {channels[0]:.4f}, image.std(axis=(0, 1)) {spread[0]:.4f}")
print(f"seen: image.mean() is {everything:.4f}, of planes (3, H, W) {planes[0]:.4f}, with dtype=np.float64 {exact[0]:.4f}")
print("Along the last axis sums are taken in pairs; along the first ones 12 million values are added to one float32 after the other")
right = all(abs(float(value) - 0.7) < 1e-5 for value in (everything, planes[0], exact[0]))
raise SystemExit(not (right and abs(float(channels[0]) - 0.7) > 0.05 and spread[0] > 0.05))
PY
