#!/bin/sh
# Guess: a flat picture that is resized stays flat; resize-right gives what MATLAB's imresize gives.
. "$(dirname "$0")/_room.sh"
room resize-right==0.0.2 torch==2.13.0 numpy==2.4.6
look <<'PY'
import torch
from resize_right import resize
from torch.nn import functional as F

print(f"resize-right 0.0.2, torch {torch.__version__}: a flat picture of .5, bicubic with antialiasing, its defaults")
print("most would guess: .5 everywhere, as torch's antialiased interpolation gives")
seen = {}
for side, factor in ((64, 0.5), (64, 0.25), (33, 0.5), (64, 2)):
    flat = torch.full((1, 1, side, side), 0.5)
    ours = resize(flat, scale_factors=factor)[0, 0]
    theirs = F.interpolate(flat, size=tuple(ours.shape), mode="bicubic", antialias=True)
    row = ours[len(ours) // 2]
    seen[side, factor] = float(ours.min()), float(row[0]), float((ours - 0.5).abs().gt(1e-3).float().mean())
    off = f"{100 * seen[side, factor][2]:.0f} % of the pixels are off"
    print(f"seen: {side} pixels by {factor:g}: corner {float(ours[0, 0]):.3f}, edge {float(row[0]):.3f}, {off}; torch {float(theirs.min()):.3f}")
padded = resize(torch.full((1, 1, 64, 64), 0.5), scale_factors=0.5, pad_mode="reflect")
print(f"seen: with pad_mode='reflect' {float(padded.min()):.3f} to {float(padded.max()):.3f}")
print("What lies beyond the picture counts as black, by default")
raise SystemExit(not (seen[64, 0.5][0] < 0.45 and seen[33, 0.5][0] < 0.3 and seen[64, 2][0] < 0.4 and float((padded - 0.5).abs().max()) < 1e-3))
PY
