"""The tables of docs/mathematics.md are what the code computes: each is made here and looked up there, row by row.

When one fails, its message is the table as it should stand.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from unveil.diffusion import cosine_pro, cubic, linear_pro, mean_reverting, residual, sample
from unveil.diffusion.correction import shift_target
from unveil.diffusion.irsde import theta_sum
from unveil.diffusion.prediction import residual_noise_factor
from unveil.diffusion.resolution import resize

PAGE = Path(__file__).parents[2] / "docs" / "mathematics.md"
F64 = torch.float64
SOLVERS = ("ancestral", "ddim", "2m", "renoise")


def documented(*rows: str) -> None:
    """All rows stand in the page, next to each other and in this order."""
    table = "\n".join(rows)
    if table not in PAGE.read_text(encoding="utf-8"):
        pytest.fail(f"{PAGE.name} should hold\n{table}", pytrace=False)


def row(*cells: object) -> str:
    return "| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |"


def test_the_five_steps() -> None:
    p = residual(linear_pro(12))
    documented(
        *(
            row(t, *(f"{float(v):.4f}" for v in (p.decay[t], p.alpha[t], p.beta[t], p.sigma[t], p.ancestral(t, t - 1))))
            for t in range(5, 0, -1)
        )
    )


def test_starts() -> None:
    counts = (10, 12, 20, 22, 50, 100, 273, 1000)
    documented(
        row("T", *counts),
        row(*["---"] * 9),
        row("T' of linear_pro", *(linear_pro(t).start for t in counts)),
        row("T' of cosine_pro", *(cosine_pro(t).start for t in counts)),
    )


def test_the_factor_of_residual_noise() -> None:
    p = residual(linear_pro(12))
    rows = []
    for t in range(1, 6):
        alpha, s = p.ratio(t, t - 1) ** 2, float(p.sigma[t])
        k, printed = residual_noise_factor(p, t), (1 - float(p.decay[t])) * s / (1 - alpha)
        rows.append(row(t, k, printed, (1 - alpha) / (alpha**0.5 * s) * abs(printed - k)))
    documented(*rows)


def test_the_spread_of_few_steps(scalar: Any) -> None:
    schedules = [linear_pro(12), cubic(5), cubic(10), cubic(20), linear_pro(100), linear_pro(1000)]
    documented(
        *(
            row(
                schedule.name,
                schedule.start,
                *(math.sqrt(float(scalar.law(residual(schedule), solver)[1])) for solver in SOLVERS),
            )
            for schedule in schedules
        )
    )


def test_the_dial(scalar: Any) -> None:
    process = residual(cubic(5))
    rows = []
    for fidelity in (0.0, 0.25, 0.5, 0.75, 1.0):
        cells: list[float] = []
        for solver in ("ancestral", "2m"):
            mean, variance = (float(v) for v in scalar.law(process, solver, fidelity))
            cells += [0.05 + variance + (mean - 0.42) ** 2, math.sqrt(variance)]
        rows.append(row(f"{fidelity:g}", *(f"{c:.4f}" if i % 2 == 0 else f"{c:.3f}" for i, c in enumerate(cells))))
    documented(*rows)


def test_the_modes(mixture: Any) -> None:
    def both(upper: float, low: float, high: float) -> str:
        return f"{upper:.3f} / {low - high:.3f}"

    places = (mixture.boundary, -0.2, 0.2)
    rows = [row("exact", "", *[both(*(mixture.upper(place) for place in places))] * 3)]
    for schedule in (linear_pro(12), cubic(5), cubic(10), cubic(20)):
        process = residual(schedule)
        cells = [both(*mixture.shares(process, solver, *places)) for solver in ("ancestral", "ddim", "2m")]
        rows.append(row(schedule.name, schedule.start, *cells))
    documented(*rows)


def test_the_dial_with_two_modes(mixture: Any) -> None:
    y = torch.full((1, 1, 1, 1), mixture.y, dtype=F64)
    solvers = ("ancestral", "ddim", "2m")
    mean = float((mixture.w * mixture.M).sum())
    variance = float((mixture.w * (mixture.V + mixture.M**2)).sum()) - mean**2
    rows, errors = [row("posterior mean", *[mean] * 3)], []
    for schedule in (linear_pro(12), cubic(5), cubic(20)):
        p = residual(schedule)
        out = [
            float(sample(mixture.predictor(p), y, p, lambda k, x: torch.ones_like(x), solver=s, fidelity=1.0))
            for s in solvers
        ]
        rows.append(row(schedule.name, *out))
        errors += [variance + (value - mean) ** 2 for value in out]
    documented(*rows)
    assert variance == pytest.approx(0.158, abs=5e-4)
    assert 0.175 < min(errors) < max(errors) < 0.195


def test_eq51(scalar: Any) -> None:
    """Exact mean and standard deviation, from the affine map of the draws that the loop itself computes."""
    process = residual(linear_pro(12))
    denoise = scalar.predictor(process)

    def law(corrected: Any) -> tuple[float, float]:
        def noise(index: int, like: torch.Tensor) -> torch.Tensor:
            return (torch.arange(6, dtype=F64) == index + 1).double()[:, None, None, None]  # row 0 draws nothing

        out = sample(corrected, scalar.images(6), process, noise).flatten()
        return float(out[0]), float((out[1:] - out[0]).norm())

    def with_eq51(x: torch.Tensor, y: torch.Tensor, t: int) -> torch.Tensor:
        x0_hat = denoise(x, y, t)
        return x0_hat - shift_target("eq51", process, t, x, y, x0_hat, x0_hat, x0_hat)

    documented(
        row("exact posterior", 0.42, math.sqrt(0.05)),
        row("no correction", *law(denoise)),
        row("mu of Eq. 51 subtracted", *law(with_eq51)),
    )


def test_what_resizing_does_to_noise() -> None:
    """Exactly, from the matrix of the resize along one axis; both axes alike, so the variance is squared."""
    rows = []
    for name, size in (("to a quarter", 16), ("to half", 32), ("to double", 128), ("to four times", 256)):
        weights = resize(torch.eye(64, dtype=F64)[None, None], (64, size))[0, 0].T[size // 4 : -size // 4]
        variance = weights.square().sum(1).mean()
        neighbours = (weights[1:] * weights[:-1]).sum(1).mean() / variance
        rows.append(row(name, float(variance**2), float(neighbours)))
    documented(*rows)


def test_fewer_steps_of_the_mean_reverting_path() -> None:
    """Step 5 of 20: the trained grid's every fifth step, against theta rebuilt for 20 steps."""
    trained = mean_reverting(theta_sum("cosine", 100)).respaced(20)
    rebuilt = mean_reverting(theta_sum("cosine", 20))
    documented(
        row("every fifth of 100 trained steps", float(trained.alpha[5]), float(trained.sigma[5])),
        row("theta rebuilt for 20 steps", float(rebuilt.alpha[5]), float(rebuilt.sigma[5])),
    )
