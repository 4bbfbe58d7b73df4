"""Two modes: what share of the samples lands in each, with the closed-form predictor of a mixture posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, cubic, linear_pro, residual, sample

PATHS = 100_000
F64 = torch.float64


def share(out: Tensor, toy: Any) -> float:
    return float((out > toy.boundary).double().mean())


def test_the_weights_are_those_of_bayes(mixture: Any) -> None:
    grid = torch.linspace(-2, 2, 400_001, dtype=F64)
    prior = 0.8 * torch.exp(-0.5 * ((grid + 0.5) / 0.1) ** 2) / 0.1
    prior += 0.2 * torch.exp(-0.5 * ((grid - 0.5) / 0.15) ** 2) / 0.15
    density = prior * torch.exp(-0.5 * ((mixture.y - grid) / 0.6) ** 2)
    above = float(density[grid > mixture.boundary].sum() / density.sum())
    assert mixture.upper() == pytest.approx(above, abs=1e-6)
    assert 0.15 < above < 0.25  # neither mode can be forgotten


def test_the_predictor_is_the_posterior_mean(mixture: Any, path: Callable[[str], GaussianPath]) -> None:
    """By quadrature, on a path where x0 has weight."""
    process = path("residual linear_pro(12)")
    grid = torch.linspace(-2, 2, 40_001, dtype=F64)
    prior = (mixture.w * torch.exp(-0.5 * (grid[:, None] - mixture.M) ** 2 / mixture.V) / mixture.V.sqrt()).sum(1)
    for t in range(1, 6):
        for x in (-0.8, 0.0, 0.3):
            a, b, s = (float(table[t]) for table in (process.alpha, process.beta, process.sigma))
            density = prior * torch.exp(-0.5 * ((x - a * grid - b * mixture.y) / s) ** 2)
            expected = float((density * grid).sum() / density.sum())
            got = mixture.predictor(process)(torch.tensor([x], dtype=F64), torch.tensor([mixture.y], dtype=F64), t)
            assert float(got) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "2m"])
def test_many_steps_fill_each_mode_by_its_weight(solver: str, mixture: Any, white: Callable[[int], Any]) -> None:
    """The share above the boundary within four standard errors (0.008) of the exact weight, after 100 steps."""
    process, paths = residual(cubic(100)), 40_000
    y = torch.full((paths, 1, 1, 1), mixture.y, dtype=F64)
    out = sample(mixture.predictor(process), y, process, white(2), solver=solver)
    error = math.sqrt(mixture.upper() * (1 - mixture.upper()) / paths)
    assert abs(share(out, mixture) - mixture.upper()) < 4 * error


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "2m"])
@pytest.mark.parametrize("schedule", [linear_pro(12), cubic(5)], ids=lambda s: s.name)
def test_few_steps_deviate_by_a_known_amount(
    solver: str, schedule: Any, mixture: Any, white: Callable[[int], Any]
) -> None:
    """1e5 paths against the quadrature, four standard errors."""
    process = residual(schedule)
    known = mixture.share(process, solver)
    y = torch.full((PATHS, 1, 1, 1), mixture.y, dtype=F64)
    out = sample(mixture.predictor(process), y, process, white(3), solver=solver)
    assert abs(share(out, mixture) - known) < 4 * math.sqrt(known * (1 - known) / PATHS)


def test_few_steps_favour_the_heavier_mode(mixture: Any) -> None:
    """The lighter mode, 0.199 of the posterior, gets 0.130 of the paper's five ancestral steps: 0.0005."""
    process = residual(linear_pro(12))
    assert mixture.upper() == pytest.approx(0.1990, abs=5e-5)
    assert mixture.share(process, "ancestral") == pytest.approx(0.1304, abs=5e-4)
    assert mixture.share(process, "ddim") == pytest.approx(0.1581, abs=5e-4)
    assert mixture.share(process, "2m") == pytest.approx(0.1885, abs=5e-4)


def test_the_deviation_shrinks_with_the_steps(mixture: Any) -> None:
    for solver in ("ancestral", "2m"):
        off = [mixture.upper() - mixture.share(residual(cubic(steps)), solver) for steps in (3, 8, 24)]
        assert off[0] > off[1] > off[2] > 0
        assert off[2] < off[0] / 4
