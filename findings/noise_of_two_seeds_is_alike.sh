#!/bin/sh
# Guess: Gaussian noise of another seed is other noise.
. "$(dirname "$0")/_room.sh"
room openimageio==3.2.2.0 numpy==2.4.6
look <<'PY'
import numpy as np
import OpenImageIO as oiio

SIZE, COUNT = 256, 10


def noise(seed, kind="gaussian"):
    spread = 0.1 if kind == "gaussian" else 1.0
    return oiio.ImageBufAlgo.noise(kind, 0.0, spread, False, seed, roi=oiio.ROI(0, SIZE, 0, SIZE, 0, 1, 0, 3)).get_pixels().ravel()


fields = [noise(seed) for seed in range(COUNT)]
alike = np.corrcoef(fields)
print(f"OpenImageIO {oiio.VERSION_STRING}: ImageBufAlgo.noise of deviation .1, 256 x 256 x 3, seeds 0 to {COUNT - 1}")
print(f"most would guess: correlation 0 between any two ({1 / SIZE:.3f} by chance), and a mean of ten of deviation {0.1 / COUNT**0.5:.4f}")
print(f"seen: neighbouring seeds {alike[0, 1]:.2f}, two apart {alike[0, 2]:.2f}, three {alike[0, 3]:.2f}, five {alike[0, 5]:.3f}")
mean = float(np.mean(fields, axis=0).std())
print(f"seen: the mean of ten has {mean:.4f}: as much noise as the mean of {(0.1 / mean) ** 2:.1f} independent ones")
far, even = float(np.corrcoef(fields[0], noise(1000))[0, 1]), float(np.corrcoef(noise(0, "uniform"), noise(1, "uniform"))[0, 1])
print(f"seen: seeds 0 and 1000 {far:.3f}; uniform noise of seeds 0 and 1 {even:.3f}")
print("Seeds a thousand apart are safe; counting them up is not")
raise SystemExit(not (0.15 < alike[0, 1] < 0.3 and 0.03 < alike[0, 2] < 0.1 and abs(far) < 0.01 and mean > 0.036))
PY
