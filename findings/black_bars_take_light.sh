#!/bin/sh
# Guess: matching histograms keeps the order of tones, so that black bars become the reference's darkest tone and a flat grey its middle.
. "$(dirname "$0")/_room.sh"
room scikit-image==0.26.0 numpy==2.4.6
look <<'PY'
import numpy as np
import skimage
from skimage.exposure import match_histograms

rng = np.random.default_rng(0)
reference = rng.integers(20, 240, (100, 100)).astype(np.uint8)
scene = rng.integers(1, 100, (100, 100)).astype(np.uint8)
print(f"scikit-image {skimage.__version__}: match_histograms, reference evenly from 20 to 239, mean {reference.mean():.0f}")
print("most would guess: black bars become 20, a flat grey 130, a white sky 239")
seen = {}
for share in (10, 25, 40):
    barred = scene.copy()
    barred[:share] = 0
    seen[share] = float(match_histograms(barred, reference)[0, 0])
    print(f"seen: bars of {share} % of the picture become {seen[share]:.0f}")
skies = scene.copy()
skies[:40] = 255
white, flat = float(match_histograms(skies, reference)[0, 0]), float(match_histograms(np.full_like(scene, 128), reference)[0, 0])
print(f"seen: a white sky of 40 % becomes {white:.0f}, a flat grey {flat:.0f}")
colours = np.repeat(scene[..., None], 3, axis=2)
whole = match_histograms(colours, np.repeat(reference[..., None], 3, axis=2), channel_axis=2)
alone = match_histograms(scene, reference)
print(f"seen: grey comes back as {alone.dtype}, the same as three channels as {whole.dtype}, {alone.mean() - whole.mean():.2f} levels darker: cut off")
print("Each tone goes to where the count up to and with it stands in the reference, so that many equal pixels go to the top of their share")
raise SystemExit(not (38 <= seen[10] <= 46 and 104 <= seen[40] <= 112 and white == 239 and flat == 239))
PY
