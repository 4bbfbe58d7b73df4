"""Photographs with known targets, and those among them that a model's own training kept back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._shared import shared_folder
from unveil import degradation
from unveil.data.dataset import Photograph, crops
from unveil.evaluation.metrics.classical import decibel
from unveil.models.model import Model
from unveil.training import config as configuration
from unveil.training.batches import Source


@dataclass(frozen=True)
class TestSet:
    """x, y: (N, 3, H, W) in [0, 1], clean and degraded. kinds: what was done to each."""

    x: Tensor
    y: Tensor
    kinds: tuple[Any, ...]


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


def source_of(model: Model, *, held_out: bool = True) -> Source:
    """What the model's own training kept back, by the rule in its recipe, or what it was trained on; never data/test."""
    recipe = model.spec.recipe.get("config")
    if not recipe:
        raise SystemExit("benchmark: the model has no training recipe, so what it was not trained on is unknown")
    data = configuration.parse(recipe).data
    return Source(replace(data, root=str(shared_folder() / "data" / "train")), held_out=held_out)


def most_damaged(pair: Photograph, size: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Of eight random cuts of a pair the one that differs most: many cuts of a shadow photograph have no shadow."""
    x, y = crops([pair], 8, size, generator)
    assert y is not None
    worst = int((x - y).abs().mean((1, 2, 3)).argmax())
    return x[worst : worst + 1], y[worst : worst + 1]


# Without instructions for it a processor is slower in bf16 than in fp32.
PRECISION = "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def psnrs(prediction: Tensor, target: Tensor) -> list[float]:
    """PSNR of each image in dB. Both (N, 3, H, W) in [0, 1]."""
    return [decibel(float(e)) for e in ((prediction.double() - target.double()) ** 2).mean((1, 2, 3))]
