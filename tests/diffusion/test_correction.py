from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, linear_pro, residual, sample, step
from unveil.diffusion.correction import TARGETS, eq51, leverage, posterior_mean, shift_target
from unveil.diffusion.prediction import from_x0, to_x0
from unveil.errors import InputError

Images = Callable[..., tuple[Tensor, Tensor, Tensor]]
F64 = torch.float64
FIVE = residual(linear_pro(12))


def ddpm_mean(t: int, x_t: Tensor, eps_res: Tensor) -> Tensor:
    """m_pred as the papers write it: (x_t - beta / sqrt(1 - abar_t) eps_res) / sqrt(alpha_t)."""
    alpha = float(FIVE.decay[t] / FIVE.decay[t - 1]) ** 2
    return (x_t - (1 - alpha) / math.sqrt(1 - float(FIVE.decay[t]) ** 2) * eps_res) / math.sqrt(alpha)


def printed_eq51(t: int, x_t: Tensor, y: Tensor, eps_res: Tensor) -> Tensor:
    """mu of LearnIR's Eq. 51, in its own symbols."""
    abar, abar_before = float(FIVE.decay[t]) ** 2, float(FIVE.decay[t - 1]) ** 2
    alpha = abar / abar_before
    return (
        (1 / math.sqrt(alpha) - (2 * math.sqrt(abar_before) - 1) / math.sqrt(abar)) * x_t
        - (1 - math.sqrt(abar_before)) * y
        - (1 - alpha) / math.sqrt(alpha * (1 - abar)) * eps_res
    )


def states(images: Images, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """x0, y, eps, x_t and the estimate of a predictor that errs."""
    x0, y, eps = images()
    return x0, y, eps, FIVE.forward(x0, y, t, eps), x0 + 0.3 * torch.sin(5 * y)


@pytest.mark.parametrize("t", range(1, 6))
@pytest.mark.parametrize("kind", TARGETS)
def test_the_step_of_the_shifted_predictor_is_the_corrected_step(kind: str, t: int, images: Images) -> None:
    """m_pred - mu, each from the papers' own formulas, against the ordinary ancestral step without its noise: 1e-12."""
    x0, y, eps, x_t, x0_hat = states(images, t)
    u = t - 1
    said = from_x0("residual_noise", FIVE, t, x0_hat, x_t, y)
    true = from_x0("residual_noise", FIVE, t, x0, x_t, y)
    m_pred = ddpm_mean(t, x_t, said)
    forward = FIVE.forward(x0, y, u, eps)
    mu = {
        "posterior": m_pred - ddpm_mean(t, x_t, true),
        "on_policy": m_pred - ddpm_mean(t, x_t, true),
        "forward": m_pred - forward,
        "eq51": printed_eq51(t, x_t, y, said),
    }[kind]
    shift = shift_target(kind, FIVE, t, x_t, y, x0_hat, x0, eps)
    got = step(FIVE, t, u, x_t, x0_hat - shift, y, FIVE.ancestral(t, u), None)
    torch.testing.assert_close(got, m_pred - mu, rtol=0, atol=1e-12)


@pytest.mark.parametrize("t", range(1, 6))
def test_the_forward_target_leads_to_the_deterministic_step(t: int, images: Images) -> None:
    """m_pred - mu = a_u x0 + b_u y + s_u eps: where DDIM would go, had the predictor said x0."""
    x0, y, eps, x_t, x0_hat = states(images, t)
    shift = shift_target("forward", FIVE, t, x_t, y, x0_hat, x0, eps)
    got = step(FIVE, t, t - 1, x_t, x0_hat - shift, y, FIVE.ancestral(t, t - 1), None)
    torch.testing.assert_close(got, step(FIVE, t, t - 1, x_t, x0, y, 0.0, None), rtol=0, atol=1e-12)


@pytest.mark.parametrize("t", range(1, 6))
def test_the_posterior_target_is_the_error_of_the_predictor(t: int, images: Images) -> None:
    x0, y, eps, x_t, x0_hat = states(images, t)
    for kind in ("posterior", "on_policy"):
        assert torch.equal(shift_target(kind, FIVE, t, x_t, y, x0_hat, x0, eps), x0_hat - x0)
        assert not shift_target(kind, FIVE, t, x_t, y, x0, x0, eps).any()


@pytest.mark.parametrize("t", range(1, 6))
def test_eq51_cancels_the_denoiser(t: int, images: Images) -> None:
    """Equation (12) of docs/mathematics.md: whatever it says, m_pred - mu is the same function of x_t and y."""
    _, y, _, x_t, _ = states(images, t)
    r_t, r_u = float(FIVE.decay[t]), float(FIVE.decay[t - 1])
    left = (2 * r_u - 1) / r_t * x_t + (1 - r_u) * y
    for said in (torch.zeros_like(y), y.flip(-1), 100 * torch.sin(x_t)):
        m_pred = ddpm_mean(t, x_t, said)
        torch.testing.assert_close(m_pred - eq51(FIVE, t, x_t, y, said), left, rtol=0, atol=1e-12)
        torch.testing.assert_close(eq51(FIVE, t, x_t, y, said), printed_eq51(t, x_t, y, said), rtol=0, atol=1e-12)


def eq51_corrected(denoise: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
    def corrected(x: Tensor, y: Tensor, t: int) -> Tensor:
        x0_hat = denoise(x, y, t)
        return x0_hat - shift_target("eq51", FIVE, t, x, y, x0_hat, x0_hat, x0_hat)

    return corrected


def test_eq51_returns_the_input_and_noise(scalar: Any, white: Callable[[int], Any]) -> None:
    """The Gaussian toy, y = 0.5, posterior 0.42 and 0.224: with the exact predictor mean 0.50 and sd 0.90 come out."""
    y = scalar.images(100_000)
    out = [
        sample(eq51_corrected(denoise), y, FIVE, white(4))
        for denoise in (scalar.predictor(FIVE), lambda x, y, t: torch.full_like(x, -7.0))
    ]
    torch.testing.assert_close(out[0], out[1], rtol=0, atol=1e-11)  # a good denoiser and a senseless one
    # By hand: x_u = (2 r_u - 1) / r_t x_t + (1 - r_u) y + eta z from x_5 = y / 2 + s_5 z, and x_1 / r_1 at the end.
    mean, variance = 0.5 * 0.5, float(FIVE.sigma[5]) ** 2
    for t in range(5, 0, -1):
        r_t, r_u = float(FIVE.decay[t]), float(FIVE.decay[t - 1])
        eta2 = (1 - r_u**2) * (1 - r_t**2 / r_u**2) / (1 - r_t**2)
        mean, variance = (2 * r_u - 1) / r_t * mean + (1 - r_u) * 0.5, ((2 * r_u - 1) / r_t) ** 2 * variance + eta2
    assert float(out[0].mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / 1e5))
    assert float(out[0].std()) == pytest.approx(math.sqrt(variance), rel=4 / math.sqrt(2e5))
    assert mean == pytest.approx(0.50, abs=0.005)
    assert math.sqrt(variance) == pytest.approx(0.904, abs=5e-4)


@pytest.mark.parametrize("solver_eta", ["ancestral", "none", "all", "some"])
def test_leverage_against_finite_differences(solver_eta: str, process: GaussianPath, images: Images) -> None:
    """c = d x_u / d x0_hat of the step, by central differences and by autograd: 1e-9."""
    x0, y, eps = images()
    for t, u in {(2, 1), (process.steps, process.steps - 1), (process.steps, 1), (1, 0)}:
        eta = {"ancestral": process.ancestral(t, u), "none": 0.0, "all": float(process.sigma[u])}.get(
            solver_eta, 0.4 * float(process.sigma[u])
        )
        x_t = process.forward(x0, y, t, eps)
        c = leverage(process, t, u, eta)
        up, down = (step(process, t, u, x_t, x0 + d, y, eta, None) for d in (0.5, -0.5))
        torch.testing.assert_close(up - down, torch.full_like(x0, c), rtol=0, atol=1e-9)
        free = x0.clone().requires_grad_()
        (slope,) = torch.autograd.grad(step(process, t, u, x_t, free, y, eta, None).sum(), free)
        torch.testing.assert_close(slope, torch.full_like(x0, c), rtol=0, atol=1e-9)


def test_every_ancestral_step_can_be_corrected(process: GaussianPath) -> None:
    """mu = c shift needs c > 0: true from the first step on, and c = 1 at the last."""
    for t in range(1, process.steps + 1):
        assert leverage(process, t, t - 1, process.ancestral(t, t - 1)) > 0
    assert leverage(process, 1, 0, 0.0) == 1.0


def test_posterior_mean_is_the_quiet_ancestral_step(process: GaussianPath, images: Images) -> None:
    x0, y, eps = images()
    for t in range(1, process.steps + 1):
        x_t = process.forward(x0, y, t, eps)
        quiet = step(process, t, t - 1, x_t, x0, y, process.ancestral(t, t - 1), None)
        torch.testing.assert_close(posterior_mean(process, t, t - 1, x_t, x0, y), quiet, rtol=0, atol=1e-13)


def test_a_perfect_correction_makes_any_predictor_perfect(images: Images, white: Callable[[int], Any]) -> None:
    """On the sampler's own states, through every solver: the shift is of x0_hat, so none of them has to know of it."""
    x0, y, _ = images()
    for solver in ("ancestral", "ddim", "renoise", "2m"):

        def corrected(x: Tensor, y: Tensor, t: int) -> Tensor:
            x0_hat = to_x0("residual_noise", FIVE, t, torch.tanh(x), x, y)
            return x0_hat - shift_target("on_policy", FIVE, t, x, y, x0_hat, x0, x)

        torch.testing.assert_close(sample(corrected, y, FIVE, white(1), solver=solver), x0, rtol=0, atol=1e-13)


def test_unknown_targets(images: Images) -> None:
    x0, y, eps = images()
    with pytest.raises(InputError, match="unknown correction target 'posteriour'; known are on_policy, posterior"):
        shift_target("posteriour", FIVE, 2, x0, y, x0, x0, eps)
