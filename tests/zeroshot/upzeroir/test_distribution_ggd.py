"""The generalised Gaussian against closed forms, quadrature and numbers of 40 digits."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.zeroshot.distribution import SHAPES, kl, log_ratio, log_ratio_slope, log_scale

F64 = torch.float64
NAMES = ("alpha1", "sigma1", "alpha2", "sigma2")


def t(*values: float) -> list[Tensor]:
    return [torch.tensor(v, dtype=F64) for v in values]


def log_density(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """ln p(x) of the centred law with the scale that the divergence is made of."""
    log_a = log_scale(alpha, sigma)
    return alpha.log() - log_a - torch.lgamma(1 / alpha) - math.log(2) - (x.abs() / log_a.exp()) ** alpha


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.3, 8.0])
def test_density_has_unit_mass_and_the_deviation_it_says(alpha: float) -> None:
    x = torch.linspace(-60, 60, 2_400_001, dtype=F64)
    p = log_density(x, *t(alpha, 0.7)).exp()
    tail = 1e-4 if alpha < 1 else 1e-9
    assert float(torch.trapezoid(p, x)) == pytest.approx(1, abs=tail)
    assert float(torch.trapezoid(p * x**2, x)) == pytest.approx(0.49, abs=max(tail, 1e-8))


def test_density_is_gauss_at_2_and_laplace_at_1() -> None:
    x = torch.linspace(-3, 3, 61, dtype=F64)
    normal = torch.distributions.Normal(*t(0, 0.8)).log_prob(x)
    laplace = torch.distributions.Laplace(*t(0, 0.8 / 2**0.5)).log_prob(x)
    torch.testing.assert_close(log_density(x, *t(2, 0.8)), normal, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_density(x, *t(1, 0.8)), laplace, rtol=0, atol=1e-12)


def test_divergence_of_gaussians_and_of_laplace_laws() -> None:
    s1, s2 = 0.4, 1.7
    gauss = math.log(s2 / s1) + s1**2 / (2 * s2**2) - 0.5
    laplace = math.log(s2 / s1) + s1 / s2 - 1
    assert float(kl(*t(2, s1, 2, s2))) == pytest.approx(gauss, rel=1e-13)
    assert float(kl(*t(1, s1, 1, s2))) == pytest.approx(laplace, rel=1e-13)


def test_divergence_is_the_integral_it_stands_for() -> None:
    x = torch.linspace(-40, 40, 800_001, dtype=F64)
    p, q = t(1.4, 0.6), t(0.9, 1.1)
    log_p, log_q = log_density(x, *p), log_density(x, *q)
    assert float(kl(*p, *q)) == pytest.approx(float(torch.trapezoid(log_p.exp() * (log_p - log_q), x)), rel=1e-6)


def test_divergence_is_zero_only_from_itself() -> None:
    alpha = torch.linspace(*SHAPES, 40, dtype=F64)
    one = torch.ones_like(alpha)
    torch.testing.assert_close(kl(alpha, one, alpha, one), 0 * one, rtol=0, atol=1e-12)
    assert (kl(alpha, one, alpha, 1.05 * one) > 1e-5).all()
    assert (kl(alpha, one, 1.05 * alpha, one) > 1e-5).all()


@pytest.mark.shared
@pytest.mark.parametrize(("dtype", "value", "gradient"), [(F64, 1e-12, 1e-11), (torch.float32, 1e-4, 1e-3)])
def test_divergence_against_40_digits(dtype: torch.dtype, value: float, gradient: float, shared: Path) -> None:
    """441 pairs of laws, divergences from 0 to 6e5, and the gradient in all four parameters at 40 of them."""
    golden = np.load(shared / "golden" / "zeroshot_ggd_kl.npz")
    at = [torch.tensor(golden[n], dtype=dtype) for n in NAMES]
    got, want = kl(*at).double(), torch.tensor(golden["kl_closed"])
    torch.testing.assert_close(got, want, rtol=value, atol=value / 100)
    quad = torch.tensor(golden["kl_mpquad"])
    torch.testing.assert_close(got[golden["mp_idx"]], quad, rtol=max(value, 1e-9), atol=max(value / 100, 1e-9))
    leaves = [v[golden["grad_idx"]].clone().requires_grad_() for v in at]
    grads = torch.autograd.grad(kl(*leaves).sum(), leaves)
    torch.testing.assert_close(
        torch.stack(grads, 1).double(), torch.tensor(golden["kl_grad"]), rtol=gradient, atol=gradient / 1000
    )


@pytest.mark.shared
def test_moment_ratio_against_its_table(shared: Path) -> None:
    golden = np.load(shared / "golden" / "zeroshot_ggd_kl.npz")
    alpha = torch.tensor(golden["rho_alpha"])
    torch.testing.assert_close(log_ratio(alpha).exp(), torch.tensor(golden["rho"]), rtol=1e-12, atol=0)


def test_moment_ratio_and_its_slope() -> None:
    assert float(log_ratio(*t(1)).exp()) == pytest.approx(0.5, rel=1e-14)
    assert float(log_ratio(*t(2)).exp()) == pytest.approx(2 / math.pi, rel=1e-14)
    u = torch.linspace(math.log(SHAPES[0]), math.log(SHAPES[1]), 50, dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_ratio(u.exp()).sum(), u)
    torch.testing.assert_close(log_ratio_slope(u.detach().exp()), slope, rtol=1e-12, atol=1e-13)
    assert (slope > 0).all()
