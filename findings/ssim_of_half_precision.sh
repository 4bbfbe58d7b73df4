#!/bin/sh
# Guess: SSIM of pictures in bf16 or fp16 is that of the same numbers in fp32, to .01.
. "$(dirname "$0")/_room.sh"
room torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
look <<'PY'
import torch, torchmetrics
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 128), indexing="ij")
clean = (0.5 + 0.3 * torch.sin(9 * x + 5 * y)).expand(1, 3, -1, -1)
noisy = (clean + 10 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
print("most would guess: the SSIM of the same numbers in fp32, to .01")
off = {}
for dtype in (torch.float16, torch.bfloat16):
    pair = noisy.to(dtype), clean.to(dtype)
    half, whole = float(ssim(*pair, data_range=1.0)), float(ssim(*(p.float() for p in pair), data_range=1.0))
    off[dtype] = half - whole
    print(f"seen, {dtype}: {half:.3f}, and {whole:.3f} when the same numbers are made fp32 first")
print("variances are differences of means of squares, which half precision rounds away")
raise SystemExit(not (abs(off[torch.bfloat16]) > 0.02))
PY
