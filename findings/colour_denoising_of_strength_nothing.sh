#!/bin/sh
# Guess: OpenCV's non-local means for colour with strength 0 changes nothing, as the one for grey does.
. "$(dirname "$0")/_room.sh"
room opencv-python-headless==5.0.0.93 numpy==2.4.6
look <<'PY'
import cv2
import numpy as np

rng = np.random.default_rng(0)
y, x = np.mgrid[:128, :128]
ramps = np.stack([2 * x, 2 * y, 255 - (x + y)], axis=2).astype(np.uint8)
noise = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
grey = np.repeat(noise[..., :1], 3, axis=2)


def moved(picture):
    away = np.abs(cv2.fastNlMeansDenoisingColored(picture, None, 0, 0).astype(int) - picture)
    return float((away.max(2) > 0).mean()), int(away.max()), float(10 * np.log10(255**2 / (away**2).mean()))


alone = int(np.abs(cv2.fastNlMeansDenoising(grey[..., 0], None, 0).astype(int) - grey[..., 0]).max())
tint = int(np.ptp(cv2.fastNlMeansDenoisingColored(grey, None, 3, 3).astype(int), axis=2).max())
print(f"OpenCV {cv2.__version__}: cv2.fastNlMeansDenoisingColored with strengths 0 and 0")
print("most would guess: the picture as it was")
found = {name: moved(picture) for name, picture in (("ramps", ramps), ("noise", noise))}
for name, (share, most, psnr) in found.items():
    print(f"seen: {name}: {share:.0%} of the pixels change, by up to {most} levels; PSNR {psnr:.1f} dB")
print(f"seen: one channel without colour changes by {alone}; a grey picture of three channels comes back up to {tint} levels tinted")
print("why: it goes through Lab in 8 bits and back")
raise SystemExit(not (alone == 0 and tint >= 1 and all(share > 0.5 and psnr < 50 for share, _, psnr in found.values())))
PY
