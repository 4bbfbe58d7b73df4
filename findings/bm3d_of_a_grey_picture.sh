#!/bin/sh
# Guess: BM3D for colour denoises a grey picture that is given as three equal channels as it denoises the grey one.
. "$(dirname "$0")/_room.sh"
room bm3d==4.0.3 numpy==2.4.6
look <<'PY'
from importlib.metadata import version

import numpy as np
from bm3d import bm3d, bm3d_rgb

rng = np.random.default_rng(0)
wave = 0.5 + 0.2 * np.sin(np.arange(64) / 9)
grey = np.tile(wave, (64, 1)) + 0.1 * rng.standard_normal((64, 64))
three = np.repeat(grey[..., None], 3, axis=2)
print(f"bm3d {version('bm3d')}: bm3d_rgb of 64x64 pixels, sigma 0.1")
print("most would guess: a grey picture as three channels is denoised, a flat one stays")
pictures = {
    "noise that differs by channel": wave[:, None] + 0.1 * rng.standard_normal((64, 64, 3)),
    "grey, three equal channels": three,
    "the same, one pixel of blue moved by 1e-3": three.copy(),
    "flat pink": np.full((64, 64, 3), (0.8, 0.5, 0.6)),
}
pictures["the same, one pixel of blue moved by 1e-3"][0, 0, 2] += 1e-3
seen = {}
for name, picture in pictures.items():
    seen[name] = float(np.isnan(bm3d_rgb(picture, 0.1)).mean())
    print(f"seen: {name}: {seen[name]:.0%} NaN")
alone = float(np.isnan(bm3d(grey, 0.1)).mean())
whole = float(np.isnan(bm3d_rgb(three, 0.1, colorspace="YCbCr")).mean())
print(f"seen: the grey channel alone, by bm3d: {alone:.0%} NaN; three equal channels with colorspace='YCbCr': {whole:.0%}")
print("Brightness and both colour differences are stretched to 0 to 1 each, and where a difference is the same everywhere that is 0 / 0")
raise SystemExit(not (list(seen.values()) == [0, 1, 0, 1] and alone == 0))
PY
