#!/bin/sh
# Guess: developed with no_auto_bright and linear gamma, a raw file is as bright as its samples are beside its white level.
. "$(dirname "$0")/_room.sh"
room rawpy==0.28.0 tifffile==2026.3.3 numpy==2.4.6
look <<'PY'
import io

import numpy as np
import rawpy
import tifffile


def dng(sensor):
    """A DNG of these samples: RGGB, black 0, white 65535, neutral 1, camera colours that are XYZ."""
    unit = tuple(n for value in np.eye(3).ravel() for n in (int(value), 1))
    tags = [(50706, 1, 4, (1, 4, 0, 0), True), (50708, 2, 5, "Test\0", True), (50721, 10, 9, unit, True), (50728, 5, 3, (1, 1) * 3, True)]
    tags += [(271, 2, 5, "Test\0", True), (272, 2, 5, "Test\0", True), (50778, 3, 1, 21, True), (33421, 3, 2, (2, 2), True)]
    tags += [(33422, 1, 4, (0, 1, 1, 2), True), (50714, 3, 1, 0, True), (50717, 4, 1, 65535, True)]
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(sensor, photometric="cfa", metadata=None, extratags=tags)
    out.seek(0)
    return out


def middle(sensor, **options):
    with rawpy.imread(dng(sensor)) as raw:
        developed = raw.postprocess(gamma=(1, 1), no_auto_bright=True, use_camera_wb=True, output_bps=16, **options)
    return float(developed[32, 48, 1]) / 65535


print(f"rawpy {rawpy.__version__}, LibRaw {'.'.join(map(str, rawpy.libraw_version))}: flat frames, postprocess(gamma=(1, 1), no_auto_bright=True)")
print("most would guess: a frame of .4 of white is .4, whatever one pixel far away has; one of .8 is .8")
seen = {level: middle(np.full((64, 96), int(65535 * level), np.uint16)) for level in (0.4, 0.7, 0.8, 1.0)}
print(f"seen: frames of .4, .7, .8 and 1 are {', '.join(f'{v:.2f}' for v in seen.values())}")
speck = np.full((64, 96), int(65535 * 0.4), np.uint16)
speck[0, 0] = int(65535 * 0.8)
lit, plain = middle(speck), middle(speck, adjust_maximum_thr=0)
print(f"seen: .4 with one pixel of .8 in a corner is {lit:.2f}; with adjust_maximum_thr=0 {plain:.2f}")
print("Where the brightest sample is over three quarters of white, it is taken for white: a setting of its own, apart from automatic brightness")
raise SystemExit(not (abs(seen[0.4] - 0.4) < 0.01 and seen[0.8] > 0.99 and abs(lit - 0.5) < 0.01 and abs(plain - 0.4) < 0.01))
PY
