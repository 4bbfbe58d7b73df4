#!/bin/sh
# Guess: channels last changes how fast a group norm is, and its numbers by rounding.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 numpy==2.4.6
look <<'PY'
import torch
from torch.nn import functional as F

print(f"torch {torch.__version__}, CPU, float32: group norm of noise around a mean, 32 channels of 64 x 64 in 8 groups, results within 5 or so")
print("most would guess: the two layouts are within 1e-4 of each other and of float64")
seen = {}
for mean, deviation in ((0, 1.0), (30, 1.0), (10, 0.01), (100, 0.1)):
    x = mean + deviation * torch.randn(1, 32, 64, 64, generator=torch.Generator().manual_seed(0))
    right = F.group_norm(x.double(), 8)
    rows = x.contiguous(), x.contiguous(memory_format=torch.channels_last)
    seen[mean] = [float((F.group_norm(row, 8) - right).abs().max()) for row in rows]
    one = float((F.instance_norm(rows[1]) - F.instance_norm(x.double())).abs().max())
    print(f"seen: mean {mean}, deviation {deviation}: off by {seen[mean][0]:.1g} contiguous, {seen[mean][1]:.2g} channels last (instance norm {one:.1g})")
print("Channels last takes the variance as the mean of squares less the square of the mean, which float32 cannot tell apart")
raise SystemExit(not (seen[0][1] < 1e-4 and seen[30][1] > 5e-4 and seen[100][1] > 1 and all(a < 1e-3 for a, _ in seen.values())))
PY
