#!/bin/sh
# Guess: a Gaussian of 8-bit pixels is that of the same numbers as floats, rounded, so that the mean stays to a tenth of a level.
. "$(dirname "$0")/_room.sh"
room scipy==1.17.1 numpy==2.4.6
look <<'PY'
import numpy as np
import scipy
from scipy import ndimage

pixels = np.random.default_rng(0).integers(40, 216, (256, 256)).astype(np.uint8)
print(f"SciPy {scipy.__version__}: filters of 8-bit pixels beside those of the same numbers as floats, means in levels")
print("most would guess: the results are rounded, so that the mean stays")
filters = {
    "gaussian_filter": lambda x: ndimage.gaussian_filter(x, 2),
    "uniform_filter": lambda x: ndimage.uniform_filter(x, 3),
    "zoom by 2, linear": lambda x: ndimage.zoom(x, 2, order=1),
}
seen = {}
for name, run in filters.items():
    seen[name] = round(float(run(pixels).mean(dtype=float) - run(pixels.astype(float)).mean()), 2)
    print(f"seen: {name} {seen[name]:+.2f}")
print("Filters that go axis by axis cut off after each; what interpolates rounds. Blurring bytes 20 times takes 20 levels:")
blurred = pixels
for _ in range(20):
    blurred = ndimage.gaussian_filter(blurred, 1)
lost = float(blurred.mean(dtype=float) - pixels.mean(dtype=float))
print(f"seen: {lost:+.1f}")
raise SystemExit(not (seen["gaussian_filter"] < -0.9 and seen["uniform_filter"] < -0.5 and abs(seen["zoom by 2, linear"]) < 0.1 and lost < -15))
PY
