"""Draws of a model on photographs with known targets, and what is measured on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil import degradation
from unveil.data.dataset import Photograph, crops
from unveil.diffusion import GaussianPath, sample
from unveil.diffusion.noise import seeded
from unveil.diffusion.resolution import OFF, Resolution
from unveil.evaluation.metrics.classical import decibel

Denoiser = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class TestSet:
    """x, y: (N, 3, H, W) in [0, 1], clean and degraded. kinds: what was done to each."""

    x: Tensor
    y: Tensor
    kinds: tuple[Any, ...]

    def of(self, kind: str) -> list[int]:
        return [i for i, k in enumerate(self.kinds) if k == kind]


def joined(parts: Sequence[TestSet]) -> TestSet:
    return TestSet(
        torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts]), tuple(k for p in parts for k in p.kinds)
    )


def simulated(photographs: list[Photograph], kinds: Sequence[str], each: int, size: int, seed: int) -> TestSet:
    """`each` crops of `size` pixels for every kind, the damage at random severity. The same arguments give the same bits."""
    parts = []
    for number, kind in enumerate(kinds):
        generator = np.random.default_rng([seed, number])
        x, _ = crops([Photograph(p.name, p.clean) for p in photographs], each, size, generator)
        y, _ = degradation.apply(kind, x, torch.Generator().manual_seed(seed * 1009 + number))
        parts.append(TestSet(x, (y * 255).round() / 255, (kind,) * each))
    return joined(parts)


# Without instructions for it a processor is slower in bf16 than in fp32.
PRECISION = "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def fast() -> contextlib.AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16")


@torch.inference_mode()
def draws(
    denoise: Denoiser,
    y: Tensor,
    path: GaussianPath,
    count: int,
    *,
    seed: int,
    fidelity: float = 0.0,
    solver: str = "ancestral",
    resolution: Resolution = OFF,
    batch: int = 16,
) -> Tensor:
    """(count, N, 3, H, W) in [0, 1]: draw k of image i has its own seed, the same for every method. y in [0, 1]."""
    out = []
    for k in range(count):
        parts = []
        for first in range(0, len(y), batch):
            part = y[first : first + batch] * 2 - 1
            noise = seeded([(seed * 101 + k) * 100_003 + first + i for i in range(len(part))])
            x = sample(denoise, part, path, noise, solver=solver, fidelity=fidelity, resolution=resolution)
            parts.append(((x.float() + 1) / 2).clamp(0, 1))
        out.append(torch.cat(parts))
    return torch.stack(out)


def native_share(resolution: Resolution, path: GaussianPath, size: int) -> float:
    """Network pixels of all evaluations on a square of `size` pixels, against all at its own resolution."""
    return sum(h * w for h, w in resolution.sizes(path.steps, (size, size))) / (path.steps * size**2)


def psnrs(prediction: Tensor, target: Tensor) -> list[float]:
    """PSNR of each image in dB. Both (N, 3, H, W) in [0, 1]."""
    return [decibel(float(e)) for e in ((prediction.double() - target.double()) ** 2).mean((1, 2, 3))]


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def pooled(prediction: Tensor, target: Tensor) -> float:
    """PSNR in dB of the squared error over all images: what training by squared error improves, ruled by the worst images."""
    return decibel(float(((prediction.double() - target.double()) ** 2).mean()))


def quality(samples: Tensor, target: Tensor) -> dict[str, float]:
    """Numbers of K draws (K, N, 3, H, W) against the target (N, 3, H, W), both in [0, 1].

    one: PSNR of a single draw, averaged over images and draws; mean: of the mean of all draws, averaged over images;
    pooled_one, pooled_mean: the same of the squared error over all images. spread: root mean square over images and pixels
    of the draws' unbiased standard deviation, in units of the full range.
    """
    average = samples.mean(dim=0)
    return {
        "one": mean([v for draw in samples for v in psnrs(draw, target)]),
        "mean": mean(psnrs(average, target)),
        "pooled_one": pooled(samples, target.expand_as(samples)),
        "pooled_mean": pooled(average, target),
        "spread": float(samples.var(dim=0).mean() ** 0.5) if len(samples) > 1 else 0.0,
    }
