#!/bin/sh
# Guess: a grey guide and the same guide as three equal channels filter alike.
. "$(dirname "$0")/_room.sh"
room opencv-contrib-python-headless==5.0.0.93 numpy==2.4.6
look <<'PY'
import cv2
import numpy as np

rng = np.random.default_rng(0)
guide = rng.random((64, 64), dtype=np.float32)
colour = np.repeat(guide[..., None], 3, axis=2)
step = np.zeros((64, 64), np.float32)
step[:, :32] = 1
eps = 1e-2
filtered = cv2.ximgproc.guidedFilter


def away(one, other):
    return float(np.abs(one - other).max() * 255)


itself = filtered(colour, colour, 8, eps)[..., 0]
alike, third = away(itself, filtered(guide, guide, 8, eps)), away(itself, filtered(guide, guide, 8, eps / 3))
edge = away(filtered(colour, step, 8, eps), filtered(guide, step, 8, eps))
levels = np.rint(guide * 255).astype(np.uint8)
unmoved = away(filtered(levels, levels, 8, eps) / 255, levels / 255)
print(f"OpenCV {cv2.__version__}: cv2.ximgproc.guidedFilter, radius 8, eps {eps}")
print("most would guess: a grey picture and its three-channel copy come out the same to 0.1 levels")
print(f"seen: guided by themselves they differ by {alike:.2f} levels, a step guided by them by {edge:.2f}")
print(f"seen: the copy with eps is the grey one with eps / 3 to {third:.3f} levels: eps is added to each of three channels that count thrice")
print(f"seen: the same picture in 8 bits is moved by {unmoved:.2f} levels, since eps is then in squared levels")
raise SystemExit(not (alike > 3 and edge > 0.5 and third < 0.05 and unmoved == 0))
PY
