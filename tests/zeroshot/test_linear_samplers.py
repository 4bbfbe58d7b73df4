"""DDRM, DiffPIR, PiGDM and GDP on Gaussian priors: against their own exact laws, and those against the exact posterior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import laws
import pytest
import torch
from gaussian import F64, GaussianPrior, Problem, agrees, ddpm, dense, matrix, white
from torch import Tensor

from unveil.zeroshot import ddrm, diffpir, gdp, pigdm
from unveil.zeroshot.operators import parse

PATHS = 8_000
SHAPE = (3, 2, 2)
SIGMA = 0.3


@dataclass
class Setting:
    prior: GaussianPrior
    problem: Problem
    operator: str
    y: Tensor

    def pictures(self, count: int) -> Tensor:
        return self.y.expand(count, -1, -1, -1)


def setting(operator: str, covariance: Tensor | None = None, sigma: float = SIGMA, path: int = 1000) -> Setting:
    """A photograph of an image of 2 x 2 pixels with correlated values, through an operator with weak and with no singular values."""
    generator = torch.Generator().manual_seed(11)
    root = torch.randn(12, 12, generator=generator, dtype=F64)
    C = 0.05 * root @ root.T + 0.02 * torch.eye(12, dtype=F64) if covariance is None else covariance
    m = 0.3 * torch.randn(SHAPE, generator=generator, dtype=F64)
    process = ddpm(path)
    recipe = parse(operator)
    size = (2 // recipe.factor, 2 // recipe.factor)
    built = recipe.build(torch.zeros(1, 3, *size, dtype=F64), size)
    y = built.take(0.5 * torch.randn(1, 3, *size, generator=generator, dtype=F64))
    picture = y.expand(1, 3, *size)
    problem = Problem(m.flatten(), C, matrix(built.apply, SHAPE), y.flatten(), sigma, process)
    return Setting(dense(m, C, process=process), problem, operator, picture)


Law = Callable[[Problem, int], tuple[Tensor, Tensor]]
STEPS = 6
METHODS: dict[str, tuple[Any, Callable[[str], Any], Law]] = {
    "ddrm": (
        ddrm.restore,
        lambda operator: ddrm.DdrmSettings(operator, SIGMA / 2, STEPS),
        lambda p, steps: laws.ddrm(p, p.process.uniform_timesteps(steps)),
    ),
    "ddrm, half trust": (
        ddrm.restore,
        lambda operator: ddrm.DdrmSettings(operator, SIGMA / 2, STEPS, eta=0.6, eta_b=0.5),
        lambda p, steps: laws.ddrm(p, p.process.uniform_timesteps(steps), 0.6, 0.5),
    ),
    "diffpir": (
        diffpir.restore,
        lambda operator: diffpir.DiffpirSettings(operator, SIGMA / 2, STEPS, weight=0.25, zeta=0.3),
        lambda p, steps: laws.diffpir(p, diffpir.quadratic_timesteps(p.process, steps), 0.25, 0.3),
    ),
    "pigdm": (
        pigdm.restore,
        lambda operator: pigdm.PigdmSettings(operator, SIGMA / 2, STEPS, 0.5),
        lambda p, steps: laws.pigdm(p, p.process.uniform_timesteps(steps), 0.5),
    ),
    "gdp": (
        gdp.restore,
        lambda operator: gdp.GdpSettings(operator, None, STEPS, 0.01),
        lambda p, steps: laws.gdp(p, p.process.uniform_timesteps(steps), 0.01),
    ),
}


@pytest.mark.parametrize(
    "operator", ["identity", "mask:keep=0.5,seed=1", "grey", "downsample:factor=2", "blur:sigma=0.6"]
)
@pytest.mark.parametrize("method", METHODS)
def test_samples_have_the_law_that_the_paper_gives(method: str, operator: str) -> None:
    """Mean and covariance of 8,000 samples within 4 standard errors of the exact law, for every operator."""
    restore, settings, law = METHODS[method]
    at = setting(operator)
    out = restore(at.prior, at.pictures(PATHS), white(31), settings(operator))
    assert out.shape == (PATHS, *SHAPE)
    agrees(out, *law(at.problem, STEPS))
    assert at.prior.evaluations == STEPS


def distance(p: Problem, law: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """How far a law is from the posterior: of the mean in posterior deviations (largest, along posterior axes), and of the
    standard deviations along those axes (largest ratio's logarithm)."""
    mean, covariance = p.posterior()
    variance, axes = torch.linalg.eigh(covariance)
    off = (axes.T @ (law[0] - mean)).abs() / variance.sqrt()
    spread = (axes.T @ law[1] @ axes).diagonal() / variance
    return float(off.max()), float(spread.log().abs().max() / 2)


@pytest.mark.parametrize("operator", ["mask:keep=0.5,seed=1", "blur:sigma=0.6"])
@pytest.mark.parametrize("variance", [1.0, 0.2])
def test_pigdm_converges_to_the_posterior_where_its_assumption_holds(operator: str, variance: float) -> None:
    """Clean images N(m, v I): the law's distance to the posterior falls as 1 / steps."""
    p = setting(operator, variance * torch.eye(12, dtype=F64)).problem
    off = {n: distance(p, laws.pigdm(p, p.process.uniform_timesteps(n), variance)) for n in (50, 100, 200)}
    assert off[200][0] < 0.1
    assert off[200][1] < 0.08
    for n in (50, 100):
        assert off[2 * n][1] / off[n][1] == pytest.approx(0.5, abs=0.1)
    # and it is then the ideal sampler of the posterior at every number of steps, not only in the limit
    for found, wanted in zip(
        laws.pigdm(p, p.process.uniform_timesteps(9), variance),
        laws.exact(p, p.process.uniform_timesteps(9)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_pigdm_samples_the_posterior() -> None:
    """Not through its law: 100 steps against the posterior itself, 4 standard errors plus the discretisation that is left."""
    at = setting("blur:sigma=0.6", 0.5 * torch.eye(12, dtype=F64))
    mean, covariance = at.problem.posterior()
    out = pigdm.restore(at.prior, at.pictures(4_000), white(32), pigdm.PigdmSettings(at.operator, SIGMA / 2, 100, 0.5))
    x, variance = out.flatten(1), covariance.diagonal()
    law = laws.pigdm(at.problem, at.prior.process.uniform_timesteps(100), 0.5)
    bias = (law[0] - mean).abs(), (law[1] - covariance).abs()
    assert float((bias[0] / variance.sqrt()).max()) < 0.1
    assert float((bias[1].diagonal() / variance).max()) < 0.15
    assert ((x.mean(0) - mean).abs() < 4 * (variance / len(x)).sqrt() + bias[0]).all()
    error = ((torch.outer(variance, variance) + covariance**2) / len(x)).sqrt()
    assert ((torch.cov(x.T) - covariance).abs() < 4 * error + bias[1]).all()


def test_without_noise_ddrm_and_diffpir_return_what_was_measured() -> None:
    """sigma = 0: A x = y exactly for every operator, whatever the prior says."""
    for operator in ("mask:keep=0.5,seed=1", "grey", "downsample:factor=2", "blur:sigma=0.6"):
        at = setting(operator, sigma=0.0)
        for restore, settings in (
            (ddrm.restore, ddrm.DdrmSettings(operator, 0.0, 5)),
            (diffpir.restore, diffpir.DiffpirSettings(operator, 0.0, 5)),
        ):
            out = restore(at.prior, at.pictures(3), white(33), settings).flatten(1)
            torch.testing.assert_close(out @ at.problem.A.T, at.problem.y.expand(3, -1), rtol=0, atol=1e-9)


def test_ddrm_does_not_converge_to_the_posterior() -> None:
    """Its share of fresh noise is the same for small steps as for large ones, so that more steps forget more: the limit is
    narrower than the posterior, and its mean wanders off to y. The twenty published steps are the better ones."""
    C, A = torch.diag(torch.tensor([0.3, 1.0], dtype=F64)), torch.diag(torch.tensor([1.0, 0.0], dtype=F64))
    p = Problem(torch.zeros(2, dtype=F64), C, A, torch.tensor([0.5, 0.0], dtype=F64), 0.3, ddpm())
    mean, covariance = p.posterior()
    found = {n: laws.ddrm(p, p.process.uniform_timesteps(n)) for n in (20, 400)}
    off = {n: float((law[0] - mean)[0] / covariance[0, 0].sqrt()) for n, law in found.items()}
    spread = {n: (law[1].diagonal() / covariance.diagonal()).sqrt().tolist() for n, law in found.items()}
    assert off[20] == pytest.approx(-0.067, abs=0.002)
    assert off[400] == pytest.approx(0.193, abs=0.002)
    assert spread[20] == pytest.approx([0.577, 0.796], abs=0.002)
    assert spread[400][0] < 0.5
    assert spread[400][1] < 0.9
    # A step's own noise is what tells: with that of the exact posterior the unseen converges.
    assert float(laws.exact(p, p.process.uniform_timesteps(400))[1][1, 1]) > 0.96


def test_diffpir_returns_the_gaussian_fit_at_its_last_step() -> None:
    """At the clean end the fit is (A^T A + rho)^-1 (A^T y + rho x0_hat): as rho grows the prior's estimate, as it falls y."""
    at = setting("identity")
    for weight, near in ((1e9, "prior"), (1e-9, "measurement")):
        out = diffpir.restore(
            at.prior, at.pictures(2), white(34), diffpir.DiffpirSettings("identity", SIGMA / 2, 50, weight)
        )
        gap = float((out - at.y).abs().max())
        assert (gap > 0.05) if near == "prior" else (gap < 1e-5)


@pytest.mark.parametrize("n", [1, 2, 20, 100, 500, 1000])
def test_quadratic_timesteps_ascend_from_clean_to_the_start(n: int) -> None:
    indices = diffpir.quadratic_timesteps(ddpm(), n)
    assert len(indices) == n + 1
    assert (indices[0], indices[-1]) == (0, 1000)
    assert all(b > a for a, b in zip(indices, indices[1:], strict=False))
    if n == 100:
        assert indices[1] == 5  # N / 2K
        assert indices[-1] - indices[-2] == 100  # N / sqrt(K)
