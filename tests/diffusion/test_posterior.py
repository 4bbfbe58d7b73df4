"""The sampler with the ideal predictor of a Gaussian posterior: everything it should do is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, cubic, linear_pro, residual, sample
from unveil.diffusion.correction import leverage

PATHS = 100_000
STEPPERS = ("ancestral", "ddim", "renoise", "2m")
White = Callable[[int], Any]
Path = Callable[[str], GaussianPath]


def spread(toy: Any, process: GaussianPath, solver: str, fidelity: float = 0.0) -> float:
    return math.sqrt(float(toy.law(process, solver, fidelity)[1]))


def test_the_toy_is_conjugate(scalar: Any, vector: Any) -> None:
    """Its posterior by precisions instead of gains."""
    mean, variance = (float(v) for v in scalar.posterior())
    assert (mean, variance) == pytest.approx((0.42, 0.05), abs=1e-15)
    inverse = torch.linalg.inv
    precision = inverse(vector.S) + vector.K.T @ inverse(vector.R) @ vector.K
    centre = inverse(vector.S) @ vector.m + vector.K.T @ inverse(vector.R) @ (vector.y - vector.c)
    mean, covariance = vector.posterior()
    torch.testing.assert_close(covariance, inverse(precision))
    torch.testing.assert_close(mean, inverse(precision) @ centre)


@pytest.mark.parametrize("solver", STEPPERS)
@pytest.mark.parametrize(
    ("toy", "name"),
    [
        ("scalar", "residual linear_pro(12)"),
        ("scalar", "residual cubic(5)"),
        ("vector", "residual linear_pro(12)"),
        ("vector", "residual linear_pro(22), not truncated"),
        ("vector", "mean reverting"),
        ("vector", "variance preserving"),
        ("vector", "RDDM"),
    ],
)
def test_samples_have_the_exact_law(
    toy: str, name: str, solver: str, path: Path, white: White, request: pytest.FixtureRequest
) -> None:
    """Mean and covariance of 1e5 paths within four standard errors of the law carried through by algebra."""
    gaussian, process = request.getfixturevalue(toy), path(name)
    mean, covariance = gaussian.law(process, solver)
    out = sample(gaussian.predictor(process), gaussian.images(PATHS), process, white(11), solver=solver).flatten(1)
    variance = covariance.diagonal()
    assert ((out.mean(0) - mean).abs() < 4 * (variance / PATHS).sqrt()).all()
    error = ((torch.outer(variance, variance) + covariance**2) / PATHS).sqrt()
    assert ((torch.cov(out.T) - covariance).abs() < 4 * error).all()


@pytest.mark.parametrize("solver", STEPPERS)
@pytest.mark.parametrize("toy", ["scalar", "vector"])
@pytest.mark.parametrize("name", ["residual linear_pro(12)", "residual cubic(5)", "RDDM"])
def test_the_mean_is_the_posterior_mean_however_few_the_steps(
    name: str, toy: str, solver: str, path: Path, request: pytest.FixtureRequest
) -> None:
    """Exactly so where the start holds no x0 (a = 0): only the spread suffers from few steps."""
    gaussian = request.getfixturevalue(toy)
    for fidelity in (0.0, 0.5, 1.0):
        mean = gaussian.law(path(name), solver, fidelity)[0]
        torch.testing.assert_close(mean, gaussian.posterior()[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["mean reverting", "residual linear_pro(22), not truncated", "variance preserving"])
def test_a_start_that_holds_some_x0_moves_the_mean(name: str, path: Path, scalar: Any) -> None:
    """y stands in for x0 there, with a weight under 0.01: not exact any more, and nothing to notice."""
    process = path(name)
    assert 0 < abs(float(process.alpha[-1])) < 0.01
    assert 1e-12 < abs(float(scalar.law(process, "ancestral")[0]) - 0.42) < 2e-4


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (linear_pro(12), {"ancestral": 0.117, "ddim": 0.145, "2m": 0.178}),
        (cubic(5), {"ancestral": 0.145, "ddim": 0.167, "2m": 0.196}),
        (cubic(10), {"ancestral": 0.173, "ddim": 0.194, "2m": 0.231}),
    ],
    ids=["linear_pro(12)", "cubic(5)", "cubic(10)"],
)
def test_few_steps_are_too_narrow(schedule: Any, expected: dict[str, float], scalar: Any) -> None:
    """Standard deviations against 0.224 of the posterior, to 0.003."""
    for solver, value in expected.items():
        assert spread(scalar, residual(schedule), solver) == pytest.approx(value, abs=0.003)


@pytest.mark.parametrize(("solver", "order"), [("ancestral", 1.0), ("ddim", 1.0), ("2m", 2.0)])
def test_the_bias_of_the_spread_decays(solver: str, order: float, scalar: Any) -> None:
    """On both grids; on the cubic one halving the step halves the bias of the first-order solvers and quarters 2m's."""
    exact = math.sqrt(0.05)
    bias = [abs(exact - spread(scalar, residual(linear_pro(t)), solver)) for t in (12, 20, 100, 1000)]
    assert bias == sorted(bias, reverse=True)
    assert bias[-1] < bias[0] / 20
    fine = [abs(exact - spread(scalar, residual(cubic(steps)), solver)) for steps in (40, 80, 160, 320)]
    assert math.log2(fine[-2] / fine[-1]) == pytest.approx(order, abs=0.15)


def test_noise_from_scratch_settles_at_half_the_variance(scalar: Any) -> None:
    """Each estimate averages what went before with fresh noise: v -> (1 - 2 s^2 / V) v + s^2, at rest at v = V / 2."""
    variance = [spread(scalar, residual(cubic(steps)), "renoise") ** 2 for steps in (10, 40, 160, 320)]
    assert variance == sorted(variance)
    assert variance[-1] == pytest.approx(0.025, abs=6e-4)


@pytest.mark.parametrize(
    ("solver", "table"),
    [
        ("ancestral", {0.0: (0.0712, 0.145), 0.5: (0.0553, 0.073), 1.0: (0.05, 0.0)}),
        ("2m", {0.0: (0.0882, 0.196), 0.5: (0.0595, 0.098), 1.0: (0.05, 0.0)}),
    ],
)
def test_the_fidelity_dial(solver: str, table: dict[float, tuple[float, float]], scalar: Any, white: White) -> None:
    """Mean squared error and spread on cubic(5): exactly V + (1 - f)^2 spread^2, zero spread at f = 1."""
    process = residual(cubic(5))
    full = spread(scalar, process, solver)
    for fidelity, (error, width) in table.items():
        mean, variance = (float(v) for v in scalar.law(process, solver, fidelity))
        assert math.sqrt(variance) == pytest.approx((1 - fidelity) * full, abs=1e-14)
        assert 0.05 + variance + (mean - 0.42) ** 2 == pytest.approx(error, abs=2e-4)
        assert math.sqrt(variance) == pytest.approx(width, abs=1e-3)
        out = sample(
            scalar.predictor(process), scalar.images(PATHS), process, white(5), solver=solver, fidelity=fidelity
        )
        assert float(out.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / PATHS), abs=1e-30)
        # Against clean images drawn from the posterior itself.
        x0 = 0.42 + math.sqrt(0.05) * white(6)(0, out)
        squared = (out - x0) ** 2
        assert float(squared.mean()) == pytest.approx(error, abs=2e-4 + 4 * float(squared.std()) / math.sqrt(PATHS))


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "renoise"])
@pytest.mark.parametrize("toy", ["scalar", "vector"])
def test_a_denoiser_that_draws_makes_few_steps_exact(
    toy: str, solver: str, white: White, request: pytest.FixtureRequest
) -> None:
    """x0 from p(x0 | x_t, y) instead of its mean: the exact posterior after five steps, whatever eta. So (6) is exact."""
    gaussian = request.getfixturevalue(toy)
    process, draw = residual(linear_pro(12)), white(21)
    mean, covariance = gaussian.posterior()
    ideal = gaussian.predictor(process)

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        left = covariance - gaussian.gain(process, t) @ (float(process.alpha[t]) * covariance)
        return ideal(x, y, t) + torch.einsum("ij,bjhw->bihw", torch.linalg.cholesky(left), draw(0, x))

    out = sample(denoise, gaussian.images(PATHS), process, white(22), solver=solver).flatten(1)
    variance = covariance.diagonal()
    assert ((out.mean(0) - mean).abs() < 4 * (variance / PATHS).sqrt()).all()
    error = ((torch.outer(variance, variance) + covariance**2) / PATHS).sqrt()
    assert ((torch.cov(out.T) - covariance).abs() < 4 * error).all()


def test_what_an_ancestral_step_leaves_out(scalar: Any) -> None:
    """Equation (8) of docs/mathematics.md: c^2 Var[x0 | x_t, y] is missing, no more and no less."""
    p = residual(linear_pro(12))
    for t in range(1, 6):
        u, a, s = t - 1, float(p.alpha[t]), float(p.sigma[t])
        left = 0.05 - float(scalar.gain(p, t)) * a * 0.05
        # The exact conditional variance of x_u given x_t and y, from their joint Gaussian.
        joint = a * float(p.alpha[u]) * 0.05 + p.ratio(t, u) * float(p.sigma[u]) ** 2
        total = float(p.alpha[u]) ** 2 * 0.05 + float(p.sigma[u]) ** 2
        exact = total - joint**2 / (a * a * 0.05 + s * s)
        eta = p.ancestral(t, u)
        assert eta**2 + leverage(p, t, u, eta) ** 2 * left == pytest.approx(exact, abs=1e-14)


def test_at_full_fidelity_no_noise_is_left(scalar: Any, white: White) -> None:
    process = residual(linear_pro(12))
    for solver in STEPPERS:
        out = sample(scalar.predictor(process), scalar.images(50), process, white(1), solver=solver, fidelity=1.0)
        assert float(out.max() - out.min()) == 0
        torch.testing.assert_close(out, torch.full_like(out, 0.42), rtol=0, atol=1e-14)
