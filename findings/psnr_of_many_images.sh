#!/bin/sh
# Guess: PSNR collected over a test set is the mean of the images' PSNR, as every paper's table has it.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 torchmetrics==1.9.0 kornia==0.9.0 numpy==2.4.6
look <<'PY'
import kornia, torch, torchmetrics

clean = torch.full((1, 3, 32, 32), 0.5)
made = [clean + 0.1, clean + 0.01]  # 20 and 40 dB
metric = torchmetrics.image.PeakSignalNoiseRatio(data_range=1.0)
for image in made:
    metric.update(image, clean)
pooled = float(metric.compute())
batch = float(kornia.metrics.psnr(torch.cat(made), torch.cat([clean, clean]), 1.0))
print(f"torchmetrics {torchmetrics.__version__}, kornia {kornia.__version__}")
print("most would guess: 30 dB for images of 20 and 40 dB")
print(f"seen: {pooled:.2f} and {batch:.2f} dB: the errors are averaged before the logarithm, and the worst image decides")
raise SystemExit(not (abs(pooled - 22.967) < 0.01 and abs(batch - 22.967) < 0.01))
PY
