#!/bin/sh
# Guess: a data set's image feature keeps a 16-bit colour array, scales it to 8 bits, or refuses it.
. "$(dirname "$0")/_room.sh"
room datasets==5.2.0 pillow==12.3.0 numpy==2.4.6
HF_HUB_OFFLINE=1 look <<'PY'
import datasets
import numpy as np
from datasets import Dataset, Features, Image

print(f"datasets {datasets.__version__}: arrays put into the feature Image() and read again")


def through(array):
    return np.asarray(Dataset.from_dict({"image": [array]}, features=Features({"image": Image()}))[0]["image"])


ramp = np.linspace(0, 65535, 8).round().astype(np.uint16)
print(f"a 16-bit ramp of 8 greys: {ramp.tolist()}")
print(f"most would guess: as it is, {np.rint(ramp / 257).astype(int).tolist()}, or an error, as for floats")
grey, colours = through(np.tile(ramp, (8, 1))), through(np.tile(ramp[:, None], (8, 1, 3)))
print(f"seen: as grey, {grey.dtype}: {grey[0].tolist()}")
print(f"seen: as three equal channels, {colours.dtype}: {colours[0, :, 0].tolist()}")
try:
    through(np.full((8, 8, 3), 0.5, np.float32))
    floats = "taken"
except TypeError:
    floats = "TypeError"
print(f"seen: floats of three channels: {floats}")
print("The low byte is kept. A UserWarning speaks of downcasting")
raise SystemExit(not (np.array_equal(grey[0], ramp) and np.array_equal(colours[0, :, 0], ramp % 256)))
PY
