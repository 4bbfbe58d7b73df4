#!/bin/sh
# Guess: a pixel that is wrong by much lowers SSIM a little; a range that is not given is the usual 1 of floats.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
look <<'PY'
import torch
import torchmetrics
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

random = torch.Generator().manual_seed(0)
place = torch.arange(64) / 6
truth = (0.5 + 0.25 * (place.sin()[:, None] + place.cos()[None])).expand(1, 3, 64, 64).double()
made = (truth + 0.1 * torch.randn(truth.shape, generator=random)).clamp(0, 1)
print(f"torchmetrics {torchmetrics.__version__}: SSIM of a noisy picture, one of whose 4096 pixels is then set to a higher value")
print("most would guess: it falls by a few thousandths")
seen = {}
for value in (None, 2, 10, 100):
    hot = made.clone()
    if value:
        hot[..., 0, 0] = value
    seen[value] = float(ssim(hot, truth)), float(ssim(hot, truth, data_range=1.0))
    print(f"seen: {'no such pixel' if value is None else value}: {seen[value][0]:.3f}; with data_range=1.0 {seen[value][1]:.3f}")
dark, lit = float(ssim(made * 0.05, truth * 0.05)), float(ssim(made * 0.05, truth * 0.05, data_range=1.0))
print(f"seen: both pictures at a twentieth of the light: {dark:.3f}; with data_range=1.0 {lit:.3f}")
both = ssim(torch.cat([made * 0.05, made]), torch.cat([truth * 0.05, truth]), reduction="none")
print(f"seen: the dark pair in one batch with the bright one: {float(both[0]):.3f}")
print("The range is the widest that the batch holds, made pictures included: who overshoots, or is batched with who is bright, scores higher")
raise SystemExit(not (seen[10][0] > seen[None][0] + 0.3 and abs(seen[10][1] - seen[None][1]) < 0.005 and float(both[0]) > dark + 0.2))
PY
