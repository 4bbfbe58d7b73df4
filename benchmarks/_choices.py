"""What a model's own training kept back, and crops of it: what its defaults may be chosen on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from benchmarks._sampling import TestSet, joined, simulated
from benchmarks._shared import shared_folder
from unveil.data.dataset import Photograph, crops
from unveil.models.model import Model
from unveil.training import config as configuration
from unveil.training.batches import Source

SEED = 23


def source_of(model: Model, *, held_out: bool = True) -> Source:
    """What the model's own training kept back, by the rule in its recipe, or what it was trained on; never data/test."""
    recipe = model.spec.recipe.get("config")
    if not recipe:
        raise SystemExit("benchmark: the model has no training recipe, so what it was not trained on is unknown")
    data = configuration.parse(recipe).data
    return Source(replace(data, root=str(shared_folder() / "data" / "train")), held_out=held_out)


def crops_of(source: Source, each: dict[str, int], pairs: int, size: int) -> TestSet:
    """Simulated damage on held-out photographs of at least `size` pixels, and real pairs ("pair") where the damage shows."""
    large = [p for p in source.photos if min(p.clean.shape[:2]) >= size]
    parts = [simulated(large, [k], n, size, SEED + i) for i, (k, n) in enumerate(each.items()) if n]
    for _, photographs in source.pairs:
        generator = np.random.default_rng([SEED, size])
        for i in range(pairs):
            parts.append(TestSet(*most_damaged(photographs[i % len(photographs)], size, generator), ("pair",)))
    return joined(parts)


def most_damaged(pair: Photograph, size: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Of eight random cuts of a pair the one that differs most: many cuts of a shadow photograph have no shadow."""
    x, y = crops([pair], 8, size, generator)
    assert y is not None
    worst = int((x - y).abs().mean((1, 2, 3)).argmax())
    return x[worst : worst + 1], y[worst : worst + 1]


def described(test: TestSet) -> str:
    counts = ", ".join(f"{len(test.of(k))} {k}" for k in dict.fromkeys(test.kinds))
    return f"{len(test.x)} crops of {test.x.shape[-1]} px of held-out photographs ({counts}), seed {SEED}"
