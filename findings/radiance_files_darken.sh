#!/bin/sh
# Guess: writing a Radiance .hdr rounds its eight-bit mantissas, so that errors cancel in the mean.
. "$(dirname "$0")/_room.sh"
room opencv-python-headless==5.0.0.93 imagecodecs==2026.3.6 numpy==2.4.6
look <<'PY'
import cv2, imagecodecs, numpy as np

image = np.random.default_rng(0).random((200, 200, 3), dtype=np.float32) + 0.5
once = cv2.imdecode(cv2.imencode(".hdr", image)[1], cv2.IMREAD_UNCHANGED)
other = imagecodecs.rgbe_decode(imagecodecs.rgbe_encode(image))
bias = {"OpenCV": float((once - image).mean()), "imagecodecs": float((other - image).mean())}
above = {"OpenCV": float((once > image).mean()), "imagecodecs": float((other > image).mean())}
print(f"OpenCV {cv2.__version__}, imagecodecs {imagecodecs.__version__}")
print("most would guess: rounding, mean error about 0")
print(f"seen: cut off, mean error {({k: round(v, 5) for k, v in bias.items()})}, share of values that came back brighter {above}")
raise SystemExit(not (max(bias.values()) < -0.003 and max(above.values()) < 0.01))
PY
