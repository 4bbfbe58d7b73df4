"""The table of docs/known_operators.md, recomputed from the methods' laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import laws
import pytest
from gaussian import Problem
from torch import Tensor

from unveil.zeroshot import dps, gdp
from unveil.zeroshot.diffpir import quadratic_timesteps

PAGE = Path(__file__).resolve().parents[2] / "docs" / "known_operators.md"
Row = tuple[float, float, float]


def affine(p: Problem, law: tuple[Tensor, Tensor]) -> Row:
    """Error of the mean in posterior deviations and ratio of the deviations along grey, and the latter's least across it."""
    mean, covariance = p.posterior()
    exact = [float(axis @ covariance @ axis) for axis in laws.AXES]
    found = [float(axis @ law[1] @ axis) for axis in laws.AXES]
    ratios = [math.sqrt(f / e) for f, e in zip(found, exact, strict=True)]
    return float(laws.AXES[0] @ (law[0] - mean)) / math.sqrt(exact[0]), ratios[0], min(ratios[1:])


def of_dps(p: Problem, steps: int, zeta: float) -> Row:
    mean, covariance = p.posterior()
    indices, exact = p.process.uniform_timesteps(steps), float(laws.AXES[0] @ covariance @ laws.AXES[0])
    found, variance, _ = laws.dps(p, indices, laws.AXES[0], zeta * (3 / dps.SIZE) ** 0.5)
    free = p.law(indices, lambda t, u: laws.ddim(p, t, u, laws.posterior_eta(p, t, u), p.ideal(t)))
    error = (found - float(laws.AXES[0] @ mean)) / math.sqrt(exact)
    return error, math.sqrt(variance / exact), affine(p, free)[2]


ROWS: dict[str, Callable[[Problem], Row]] = {
    "exact guidance, 100": lambda p: affine(p, laws.exact(p, p.process.uniform_timesteps(100))),
    "PiGDM, 100": lambda p: affine(p, laws.pigdm(p, p.process.uniform_timesteps(100))),
    "PiGDM, 100, variance 0.25": lambda p: affine(p, laws.pigdm(p, p.process.uniform_timesteps(100), 0.25)),
    "PiGDM, 20, variance 0.25": lambda p: affine(p, laws.pigdm(p, p.process.uniform_timesteps(20), 0.25)),
    "DDRM, 20": lambda p: affine(p, laws.ddrm(p, p.process.uniform_timesteps(20))),
    "DDRM, 100": lambda p: affine(p, laws.ddrm(p, p.process.uniform_timesteps(100))),
    "DiffPIR, 100, lambda 1/4, zeta 0.3": lambda p: affine(
        p, laws.diffpir(p, quadratic_timesteps(p.process, 100), 0.25, 0.3)
    ),
    "DiffPIR, 100, zeta 0.3": lambda p: affine(p, laws.diffpir(p, quadratic_timesteps(p.process, 100), 1.0, 0.3)),
    "DiffPIR, 100": lambda p: affine(p, laws.diffpir(p, quadratic_timesteps(p.process, 100), 1.0, 1.0)),
    "DiffPIR, 20": lambda p: affine(p, laws.diffpir(p, quadratic_timesteps(p.process, 20), 1.0, 1.0)),
    "DPS, 1000": lambda p: of_dps(p, 1000, dps.ZETA["grey"]),
    "DPS, 1000, zeta 3": lambda p: of_dps(p, 1000, 3.0),
    "DPS, 100": lambda p: of_dps(p, 100, dps.ZETA["grey"]),
    "GDP, 1000": lambda p: affine(p, laws.gdp(p, p.process.uniform_timesteps(1000), gdp.WEIGHT["grey"])),
    "GDP, 100": lambda p: affine(p, laws.gdp(p, p.process.uniform_timesteps(100), gdp.WEIGHT["grey"])),
}


def line(name: str, row: Row) -> str:
    return f"| {name} | {row[0]:+.2f} | {row[1]:.2f} | {row[2]:.2f} |"


@pytest.mark.parametrize("name", [name for name in ROWS if "1000" not in name])
def test_the_page_says_what_the_laws_say(name: str) -> None:
    assert line(name, ROWS[name](laws.pixel())) in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ROWS if "1000" in name])
def test_the_page_says_what_long_walks_do(name: str) -> None:
    assert line(name, ROWS[name](laws.pixel())) in PAGE.read_text(encoding="utf-8")
