#!/bin/sh
# Guess: a scheduler's add_noise in bf16 or fp16 adds the noise of the step to within 1 %, the rounding of the number itself.
. "$(dirname "$0")/_room.sh"
room diffusers==0.42.1 torch==2.13.0 numpy==2.4.6
look <<'PY'
import diffusers, torch

scheduler = diffusers.DDPMScheduler()
clean, noise = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
true = (1 - scheduler.alphas_cumprod).sqrt()
print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
print("most would guess: every step's noise to within 1 %")
none = {}
for dtype in (torch.float16, torch.bfloat16):
    added = torch.stack([
        scheduler.add_noise(clean.to(dtype), noise.to(dtype), torch.tensor([t])).float().mean() for t in range(1000)
    ])
    none[dtype], off = int((added == 0).sum()), [round(float(added[t] / true[t]), 2) for t in (10, 20, 50)]
    print(f"seen, {dtype}: no noise at all at the first {none[dtype]} steps, then {off} of it at steps 10, 20 and 50")
print("1 - alpha is subtracted in the picture's own precision, where alpha near 1 has hardly any digits left")
raise SystemExit(not (none[torch.float16] == 2 and none[torch.bfloat16] == 10))
PY
