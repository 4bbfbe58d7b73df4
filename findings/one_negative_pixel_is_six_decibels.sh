#!/bin/sh
# Guess: PSNR of two floating-point images moves by next to nothing when one pixel of both goes from 0 to -1e-6.
. "$(dirname "$0")/_room.sh"
room scikit-image==0.26.0 numpy==2.4.6
look <<'PY'
import numpy as np, skimage
from skimage.metrics import peak_signal_noise_ratio as psnr

rng = np.random.default_rng(0)
target = rng.random((64, 64)).astype(np.float64)
made = (target + rng.normal(0, 0.05, target.shape)).clip(0, 1)
target[0, 0] = made[0, 0] = 0.0
before = psnr(target, made)
target[0, 0] = made[0, 0] = -1e-6  # what a bicubic reduction leaves in black places
after = psnr(target, made)
print(f"scikit-image {skimage.__version__}")
print(f"most would guess: {before:.2f} dB before and after")
print(f"seen: {before:.2f} and {after:.2f} dB, since a value below 0 makes the range 2 instead of 1")
raise SystemExit(not abs(after - before - 6.0206) < 0.01)
PY
