#!/bin/sh
# Guess: EMAModel(decay=.9999) moves by 1e-4 of the way in every step, so that 100 steps at a new place bring it 1 % there.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 diffusers==0.42.1 numpy==2.4.6
look <<'PY'
import diffusers, torch
from diffusers.training_utils import EMAModel

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

net = Net()
theirs = EMAModel(net.parameters(), decay=0.9999)
plain = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9999))
plain.update_parameters(net)
with torch.no_grad():
    net.w.fill_(1.0)
for _ in range(100):
    theirs.step(net.parameters())
    plain.update_parameters(net)
got, torchs = float(theirs.shadow_params[0]), float(plain.module.w)
print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
print("most would guess: 0.01 of the way in both")
print(f"seen: torch {torchs:.4f}, diffusers {got:.4f}; its decay after 1,000 steps is {theirs.get_decay(1000):.4f}, after 10,000 "
      f"{theirs.get_decay(10_000):.5f}: a short training has averaged next to nothing")
raise SystemExit(not (got > 0.99 and abs(torchs - 0.00995) < 1e-4))
PY
