"""Put a finished prior on the shelf with its measured numbers: `python -m recipes shelve_prior small-pixel RUN --data PHOTOS`.

Measured on central crops of photographs that its training held out (recipes/train_prior.py): white noise of known level, one
evaluation of the prior, beside non-local means with its own estimate of the level; for latents, what the autoencoder alone costs.
--sheet FILE also draws what was measured, and samples from pure noise.
"""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks._shared import positive
from recipes.shelve import LICENCE, WEIGHTS, added
from recipes.train_prior import FOLDERS, HELD_OUT, photographs
from unveil.data.dataset import cut, to_tensor
from unveil.diffusion.noise import seeded
from unveil.diffusion.sampling import sample
from unveil.evaluation.baselines import BASELINES
from unveil.models.weights_file import sha256_of
from unveil.training.checkpoint import latest
from unveil.training.export import machine
from unveil.training.validation import psnr, write_sheet
from unveil.zeroshot.priors.opening import open_prior

LEVELS = (10, 25, 50)
COUNT, SIDE, SEED, STEPS = 8, 96, 0, 25
SUMMARY = {
    "small-pixel": "Prior of clean photographs, in pixels, any size: for tests, teaching and light damage (--prior).",
    "small-latent": "Prior of clean photographs, in latents of a quarter of their size: for tests and teaching (--prior).",
}


def crops(data: Path) -> Tensor:
    """(COUNT, 3, SIDE, SIDE) in [0, 1], central crops of held-out photographs, spread over them."""
    _, held = photographs(data)
    picked = [held[round(i * (len(held) - 1) / (COUNT - 1))] for i in range(COUNT)]
    pixels = [p.clean.pixels() for p in picked]
    return torch.stack([to_tensor(cut(x, (x.shape[0] - SIDE) // 2, (x.shape[1] - SIDE) // 2, SIDE)) for x in pixels])


def denoised(prior: Any, noisy: Tensor, level: float) -> Tensor:
    """One evaluation at the index whose noise, on images in [-1, 1], is nearest to the level; states and images in their own ranges."""
    ratio = prior.process.sigma[1:] / prior.process.alpha[1:]
    t = 1 + int((ratio.log() - np.log(2 * level)).abs().argmin())
    with torch.no_grad():
        state = float(prior.process.alpha[t]) * prior.encode(noisy * 2 - 1)
        return (prior.decode(prior.denoise(state, t)) + 1) / 2


@torch.no_grad()
def draws(prior: Any, count: int = 4) -> Tensor:
    """Samples from pure noise: what the prior believes photographs to be."""
    at = [round(i * prior.process.steps / STEPS) for i in range(STEPS + 1)]
    like = torch.zeros(count, prior.channels, SIDE // prior.factor, SIDE // prior.factor)
    path, noise = prior.process.respaced(STEPS), seeded(range(count))
    return sample(lambda s, _, t: prior.denoise(s, at[t]), like, path, noise, solver="ancestral")


def measured(prior: Any, x: Tensor, sheet: Path | None) -> dict[str, Any]:
    """PSNR in dB, mean over the crops."""

    def against(y: Tensor) -> float:
        return round(float(psnr(y.clamp(0, 1), x).mean()), 2)

    out: dict[str, Any] = {
        "protocol": f"{COUNT} central crops of {SIDE} px of held-out training photographs, RGB in [0, 1], white noise, seed {SEED}, "
        "not clipped; one evaluation at the nearest step; NLM estimates the level itself"
    }
    columns = [x]
    if prior.factor > 1:
        with torch.no_grad():
            again = (prior.decode(prior.encode(x * 2 - 1)) + 1) / 2
        out["autoencoder alone"] = against(again)
        columns.append(again)
    else:
        for level in LEVELS:
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(SEED + level))
            noisy = x + level / 255 * noise
            ours = denoised(prior, noisy, level / 255)
            nlm = np.stack([BASELINES["nlm"](n.clamp(0, 1).permute(1, 2, 0).numpy()) for n in noisy])
            theirs = torch.from_numpy(nlm).permute(0, 3, 1, 2).float()
            out[f"sigma {level}"] = {"noisy": against(noisy), "prior": against(ours), "NLM": against(theirs)}
            columns += [noisy, ours, theirs]
    if sheet is not None:
        write_sheet(sheet, columns)
        write_sheet(sheet.with_stem(sheet.stem + "_samples"), [(prior.decode(draws(prior)) + 1) / 2])
    return out


OPTIONS = {
    "name": {"choices": SUMMARY},
    "run": {"type": Path},
    "--data": {"type": Path, "required": True},
    "--sheet": {"type": Path},
    "--recipe": {"help": "the commands that made the run, where it was not one"},
    "--steps": {"type": positive, "help": "optimiser steps, where the run's checkpoints are not at hand"},
    "--machine": {"help": "what it was trained on, where it was not this machine"},
    "--dry": (False, "measure and leave the shelf as it is"),
}


def main(args: Namespace) -> None:
    torch.manual_seed(0)
    prior = open_prior(args.run)
    numbers = measured(prior, crops(args.data), args.sheet)
    print(json.dumps(numbers, indent=1))
    if args.dry:
        return
    target = WEIGHTS / args.name
    if target.exists():
        shutil.rmtree(target)
    for path in args.run.rglob("*"):
        if path.suffix in (".json", ".safetensors") and "checkpoints" not in path.parts:
            (target / path.relative_to(args.run)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.relative_to(args.run))
    files = {p.relative_to(target).as_posix(): sha256_of(p) for p in sorted(target.rglob("*")) if p.is_file()}
    kind = args.name.removeprefix("small-")
    done = latest(args.run / "checkpoints")
    recipe = (
        args.recipe or f"python -m recipes train_prior {'pixel' if kind == 'pixel' else 'autoencoder, then latent'}"
    )
    unet = "unet/diffusion_pytorch_model.safetensors"
    weights = [t for p in target.rglob("*.safetensors") for t in load_file(p).values()]
    entry = {
        "task": "prior", "file": f"{args.name}/{unet}", "sha256": files[unet], "bytes": sum((target / f).stat().st_size for f in files),
        "summary": SUMMARY[args.name], "licence": LICENCE, "training_data": {"photographs": list(FOLDERS), "held_out": HELD_OUT},
        "recipe": recipe, "seed": 1, "steps": args.steps or (done.step if done else None), "machine": args.machine or machine(),
        "parameters": sum(t.numel() for t in weights), "files": files, "denoising": numbers,
    }  # fmt: skip
    added(args.name, entry)
