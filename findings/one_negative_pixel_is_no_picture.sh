#!/bin/sh
# Guess: what prepares pictures in 0 to 1 for an autoencoder in -1 to 1 treats every pixel alike, whatever the others are.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 diffusers==0.42.1 pillow==12.3.0 numpy==2.4.6
look <<'PY'
import diffusers
import torch
from diffusers.image_processor import VaeImageProcessor

prepare = VaeImageProcessor(vae_scale_factor=8).preprocess
place = torch.arange(32) / 4
picture = (0.5 + 0.25 * (place.sin()[:, None] + place.cos()[None])).clamp(0, 1).expand(1, 3, 32, 32).contiguous()
picture[..., 8:16, 8:16] = 0
one = picture.clone()
one[0, 0, 0, 0] = -1e-6
larger = torch.nn.functional.interpolate(picture, scale_factor=2, mode="bicubic")
print(f"diffusers {diffusers.__version__}, torch {torch.__version__}: VaeImageProcessor.preprocess of a picture in 0 to 1")
print("most would guess: every result reaches from -1 to 1, and one pixel of -1e-6 moves that pixel alone")


def reach(x):
    return round(float(x.min()), 3), round(float(x.max()), 3)


right, wrong = prepare(picture), prepare(one)
pair = prepare(torch.cat([picture, one]))[:1]
print(f"seen: as it is {reach(right)}, with that pixel {reach(wrong)}: all others are up to {float((right - wrong).abs().max()):.2f} away")
print(f"seen: enlarged by bicubic interpolation, least value {float(larger.min()):.3f}: {reach(prepare(larger))}; clamped first {reach(prepare(larger.clamp(0, 1)))}")
print(f"seen: as it is, but in one batch with the other: {reach(pair)}")
print("One value below 0 anywhere in the batch is taken as a sign that all of it is in -1 to 1 already; a FutureWarning says so")
raise SystemExit(not (reach(right)[0] == -1 and reach(wrong)[0] == 0 and reach(prepare(larger))[0] > -0.5 and reach(pair)[0] == 0))
PY
