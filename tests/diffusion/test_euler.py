"""The Euler baselines and the matching loss where no official number is needed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.diffusion import linear_pro, mean_reverting, residual, sample, variance_preserving
from unveil.diffusion.irsde import euler, matching_loss, noise_scale, optimum, theta_sum
from unveil.diffusion.noise import seeded
from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError


def draws(*shape: int) -> tuple[Tensor, ...]:
    return torch.rand(4, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).unbind()


def white(index: int, like: Tensor) -> Tensor:
    """All samples of a batch from one generator: a thousand seeds would take most of the time."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(index)).to(like)


def gaussian(process: GaussianPath, mean: float, variance: float):
    """E[x0 | x_t, y] in closed form for x0 ~ N(mean, variance) independent of y."""

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        a, b, s = (float(c[t]) for c in (process.alpha, process.beta, process.sigma))
        gain = variance * a / (a * a * variance + s * s)
        return mean + gain * (x - b * y - a * mean)

    return denoise


@pytest.mark.parametrize("solver", ["sde", "ode"])
def test_the_euler_solvers_reach_the_posterior_with_many_steps(solver: str) -> None:
    """x0 ~ N(0.3, 0.1^2): with 1000 steps of the exact predictor both return that, to the error of the last step."""
    process = mean_reverting(theta_sum("cosine", 1000))
    y = torch.full((2000, 1, 2, 2), 0.7, dtype=torch.float64)
    x = sample(gaussian(process, 0.3, 0.01), y, process, white, solver=solver)
    assert x.mean().item() == pytest.approx(0.3, abs=0.006)  # four standard errors and 0.001 of bias
    assert x.std().item() == pytest.approx(0.1, rel=0.05)


def test_subsets_of_the_trained_grid_keep_its_marginals_and_rescaling_does_not() -> None:
    """What 20 of 100 steps mean for a network trained on 100: what state belongs to the time it is told?"""
    trained = mean_reverting(theta_sum("cosine", 100))
    subset, rescaled = trained.respaced(20), mean_reverting(theta_sum("cosine", 20))
    for i in range(1, 21):
        t = int(subset.timestep[i])
        assert t == 5 * i
        assert (subset.alpha[i], subset.sigma[i]) == (trained.alpha[t], trained.sigma[t])
    # The official shortcut tells the network 25 in its step 5, at a state where less is left of x0 and more is noise.
    assert float(trained.alpha[25]) == pytest.approx(0.853, abs=5e-4)
    assert float(rescaled.alpha[5]) == pytest.approx(0.792, abs=5e-4)
    assert float(trained.sigma[25]) == pytest.approx(0.102, abs=5e-4)
    assert float(rescaled.sigma[5]) == pytest.approx(0.120, abs=5e-4)
    gaps = (rescaled.alpha[1:-1] - trained.alpha[torch.arange(5, 100, 5)]).abs()
    assert gaps.max() > 0.05


def test_rescaled_steps_miss_the_posterior_that_a_subset_reaches() -> None:
    """The exact predictor of the 100-step process, sampled in 20 steps both ways; exact mean 0.3, sd 0.1."""
    trained = mean_reverting(theta_sum("cosine", 100))
    exact = gaussian(trained, 0.3, 0.01)
    y = torch.full((4000, 1, 2, 2), 0.7, dtype=torch.float64)
    subset, rescaled = trained.respaced(20), mean_reverting(theta_sum("cosine", 20))

    def told_trained_times(x: Tensor, y: Tensor, i: int) -> Tensor:
        return exact(x, y, 5 * i)

    kept = sample(told_trained_times, y, subset, white)
    wrong = sample(told_trained_times, y, rescaled, white)
    assert kept.mean().item() == pytest.approx(0.3, abs=0.003)
    assert abs(wrong.mean().item() - 0.3) > 5 * abs(kept.mean().item() - 0.3)
    assert abs(wrong.mean().item() - 0.3) > 0.01


def test_the_loss_is_smallest_at_the_true_noise_of_the_optimum() -> None:
    """The reverse mean is linear in the noise, so some noise makes the loss exactly 0, and it is unique."""
    process = mean_reverting(theta_sum("cosine", 100))
    x0, y, eps, _ = draws(3, 3, 4, 4)
    t = torch.tensor([1, 40, 100])
    x_t = process.forward(x0, y, t, eps)
    zero = euler(process, t, x_t, (x_t - process.at(process.beta, t, x_t) * y) / process.at(process.alpha, t, x_t), y)
    weight = noise_scale(process, t, x_t) ** 2 / process.at(process.sigma, t, x_t)
    best = (zero - optimum(process, t, x_t, x0, y)) / weight
    assert matching_loss(process, t, x_t, y, x0, best).item() < 1e-12
    off = matching_loss(process, t, x_t, y, x0, best + 0.1)
    torch.testing.assert_close(off, 0.1 * weight.mean(), rtol=1e-9, atol=0)
    # Near the clean end the steps are small and the discrete optimum is the true noise itself.
    torch.testing.assert_close(best[1], eps[1], rtol=0.1, atol=0.1)


def test_a_gradient_reaches_the_prediction_alone() -> None:
    process = mean_reverting(theta_sum("cosine", 100))
    x0, y, eps, _ = draws(2, 3, 4, 4)
    eps.requires_grad_()
    matching_loss(process, torch.tensor([3, 90]), x0, y, x0, eps).backward()
    assert eps.grad is not None
    assert eps.grad.abs().min() > 0


def test_a_path_whose_drift_needs_x0_is_refused() -> None:
    process, y = residual(linear_pro(12)), torch.zeros(1, 3, 4, 4)
    with pytest.raises(InputError, match="drift is free of the clean image; residual"):
        sample(lambda x, y, t: x, y, process, seeded([0]), solver="sde")
    with pytest.raises(InputError, match="Use ancestral"):
        matching_loss(process, torch.tensor([1]), y, y, y, y)
    with pytest.raises(InputError, match="l1 and l2, not 'huber'"):
        matching_loss(mean_reverting(theta_sum("cosine", 10)), torch.tensor([1]), y, y, y, y, "huber")


def test_on_the_ddpm_path_the_drift_reverts_to_nothing() -> None:
    """With the exact predictor of x0 ~ N(0.3, 0.1^2) the walk ends there, wherever y is."""
    signal = torch.cos(torch.linspace(0.01, 1.55, 500, dtype=torch.float64))
    process = variance_preserving(signal**2)
    y = torch.ones(2000, 1, 2, 2, dtype=torch.float64)
    x = sample(gaussian(process, 0.3, 0.01), y, process, white, solver="sde")
    assert x.mean().item() == pytest.approx(0.3, abs=0.01)
    assert x.std().item() == pytest.approx(0.1, rel=0.1)
