#!/bin/sh
# Guess: the universal quality index of a picture with itself is 1, and VIF of two pictures is the same in 0 to 1 and in 0 to 255.
. "$(dirname "$0")/_room.sh"
room torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
look <<'PY'
import torch, torchmetrics
from torchmetrics.functional.image import universal_image_quality_index as uqi, visual_information_fidelity as vif

y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 128), indexing="ij")
clean = (0.5 + 0.3 * torch.sin(9 * x + 5 * y)).expand(1, 3, -1, -1)
clean = torch.where(x < 0.5, 0.5, clean)  # its left half is flat, like a sky
noisy = (clean + 10 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
flat = torch.full_like(clean, 0.5)
itself, plain = float(uqi(clean, clean)), float(uqi(flat, flat))
one, levels = float(vif(noisy, clean)), float(vif(255 * noisy, 255 * clean))
print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
print("most would guess: an index of 1 for any picture with itself; one VIF whatever the range")
print(f"seen: {itself:.3f}, of a flat one {plain:.3f}; VIF {one:.3f} in 0 to 1 and {levels:.3f} in 0 to 255; of a flat one {float(vif(flat, flat))}")
raise SystemExit(not (itself < 0.9 and plain == 0 and one - levels > 0.1))
PY
