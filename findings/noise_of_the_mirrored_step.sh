#!/bin/sh
# Guess: every scheduler of one noise schedule adds the same noise at step t, as training needs it.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 diffusers==0.42.1 numpy==2.4.6
look <<'PY'
import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
flat = torch.ones(1, 1, 64, 64)
steps = (50, 200, 800, 950)


def share(scheduler, t):
    """How much of the picture is left in what add_noise makes of it at step t."""
    at = torch.tensor([t])
    return float((scheduler.add_noise(flat, noise, at) - scheduler.add_noise(0 * flat, noise, at)).mean())


print(f"diffusers {diffusers.__version__}, torch {torch.__version__}: add_noise at steps {steps} of 1000, schedulers as they are made")
print("most would guess: one schedule, one share of the picture at each step, which falls from 1 to 0")
truth = [share(DDPMScheduler(), t) for t in steps]
print(f"seen: DDPM {[round(v, 3) for v in truth]}, DDIM {[round(share(DDIMScheduler(), t), 3) for t in steps]}")
mirrored = []
for kind in (DPMSolverMultistepScheduler, UniPCMultistepScheduler, DEISMultistepScheduler):
    found = [share(kind(), t) for t in steps]
    mirrored.append(max(abs(a - share(DDPMScheduler(), 999 - t)) for a, t in zip(found, steps)) < 0.01)
    print(f"seen: {kind.__name__} {[round(v, 3) for v in found]}: step 999 - t")
solver = DPMSolverMultistepScheduler()
solver.set_timesteps(10)
on, between = int(solver.timesteps[3]), 123
print(f"seen: DPMSolverMultistepScheduler after set_timesteps(10): at {on}, which is a step, {share(solver, on):.3f} (DDPM {share(DDPMScheduler(), on):.3f});")
print(f"      at {between}, which is none, {share(solver, between):.3f} (DDPM {share(DDPMScheduler(), between):.3f})")
print("It looks the step up in a list that runs downwards; before set_timesteps its noise levels run upwards. A step that is not in it is the last")
wrong = abs(share(solver, between) - share(DDPMScheduler(), between)) > 0.02
raise SystemExit(not (all(mirrored) and wrong and abs(share(solver, on) - share(DDPMScheduler(), on)) < 0.01))
PY
