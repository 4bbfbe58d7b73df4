#!/bin/sh
# Guess: `random_noise(mode="poisson")` is shot noise of a fixed strength, so that a grey of .5 gets the same noise in every image.
. "$(dirname "$0")/_room.sh"
room scikit-image==0.26.0 numpy==2.4.6
look <<'PY'
import numpy as np, skimage
from skimage.util import random_noise

def noise(levels):
    """Deviation on 40,000 pixels of .5, in levels of 255, where the image has so many more grey levels elsewhere."""
    image = np.concatenate([np.full(40_000, 0.5), np.linspace(0, 1, levels)])[None]
    return float(random_noise(image, mode="poisson", rng=0, clip=False)[0, :40_000].std() * 255)

seen = {n: round(noise(n), 1) for n in (2, 16, 250, 4000)}
print(f"scikit-image {skimage.__version__}")
print("most would guess: the same noise on the same grey, whatever else is in the image")
print(f"seen: it depends on how many different values the whole image has: {seen}")
raise SystemExit(not (80 < seen[2] < 100 and 2 < seen[4000] < 4))
PY
