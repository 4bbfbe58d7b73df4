"""DPS on a Gaussian prior: the norm's gradient is a sign, so its law is no Gaussian; it is carried through on a grid instead."""

from __future__ import annotations

import math

import laws
import pytest
import torch
from gaussian import F64, agrees, ddpm, dense, white
from torch import Tensor

from unveil.zeroshot import dps
from unveil.zeroshot.guided_sampling import trained_steps

PER_PIXEL = (1 / 256**2) ** 0.5  # what is left of zeta for an image of one pixel; twice that for four


@pytest.mark.parametrize(("path", "steps", "zeta"), [(100, 100, 0.03), (100, 25, 0.03), (1000, 60, 0.01)])
def test_samples_have_the_law_of_the_paper(path: int, steps: int, zeta: float) -> None:
    p = laws.pixel(path)
    indices = p.process.uniform_timesteps(steps)
    prior = dense(p.m.view(3, 1, 1), p.C, process=p.process)
    count = 8_000
    y = p.y.view(1, 1, 1, 1).expand(count, 3, 1, 1)
    out = (
        dps.restore(prior, y, white(41), dps.DpsSettings("grey", 0.05, steps, zeta / PER_PIXEL)).flatten(1)
        @ laws.AXES.T
    )
    mean, second, fourth = laws.dps(p, indices, laws.AXES[0], zeta)
    assert float(out[:, 0].mean()) == pytest.approx(mean, abs=4 * math.sqrt(second / count))
    assert float(out[:, 0].var()) == pytest.approx(second, abs=4 * math.sqrt((fourth - second**2) / count))
    # What is not seen follows the prior's own ancestral sampler.
    free = p.law(indices, lambda t, u: laws.ddim(p, t, u, laws.posterior_eta(p, t, u), p.ideal(t)))
    agrees(out[:, 1:], laws.AXES[1:] @ free[0], laws.AXES[1:] @ free[1] @ laws.AXES[1:].T)
    assert prior.evaluations == steps


def test_the_pull_is_the_gradient_of_the_norm() -> None:
    """Finite differences through prior and operator, on an image with more than one measured value."""
    generator = torch.Generator().manual_seed(4)
    root = torch.randn(12, 12, generator=generator, dtype=F64)
    prior = dense(torch.zeros(3, 2, 2, dtype=F64), root @ root.T / 12, process=ddpm(40))
    y = torch.randn(2, 3, 2, 2, generator=generator, dtype=F64)
    states: list[tuple[Tensor, int]] = []

    class Seen(type(prior)):  # remembers where it was asked
        def denoise(self, z_t: Tensor, t: int, condition: object = None, guidance: float = 1.0) -> Tensor:
            states.append((z_t.detach(), t))
            return super().denoise(z_t, t)

    watched = Seen(prior.mean, prior.variance, prior.into, prior.back, prior.process)
    still = lambda index, like: torch.zeros_like(like) + 0.3 * (index + 1)  # noqa: E731
    dps.restore(watched, y, still, dps.DpsSettings("blur:sigma=0.6", 0.0, 40, 0.02 / PER_PIXEL / 2))
    (x_t, t), (x_u, u) = states[3], states[4]

    def distance(x: Tensor) -> Tensor:
        from unveil.zeroshot.operators import Blur

        return (y - Blur(y, 0.6).apply(prior.denoise(x, t))).flatten(1).norm(dim=1)

    gradient = torch.zeros_like(x_t)
    for i in range(12):
        h = torch.zeros(1, 12, dtype=F64)
        h[0, i] = 1e-6
        h = h.view(1, 3, 2, 2)
        gradient.flatten(1)[:, i] = (distance(x_t + h) - distance(x_t - h)) / 2e-6
    from unveil.diffusion.sampling import step

    plain = step(prior.process, t, u, x_t, prior.denoise(x_t, t), y, prior.process.ancestral(t, u), still(40 - u, x_t))
    torch.testing.assert_close(x_u, plain - 0.02 * trained_steps(prior.process, t, u) * gradient, rtol=0, atol=1e-7)


def test_published_weights() -> None:
    assert dps.ZETA["mask"] == 0.5
    assert dps.ZETA["blur"] == dps.ZETA["downsample"] == 0.3
    assert trained_steps(ddpm(1000), 700, 699) == 1
    assert trained_steps(ddpm(100), 7, 5) == 20


def test_a_pull_through_the_score_vanishes() -> None:
    """What docs/known_operators.md says of deepinv 0.5.0's DPS with its defaults, weight 1 inside the score (`scored` in the benchmark).

    A step multiplies the score by a_t a_u (sigma_t^2 - sigma_u^2), which is beta_t over the root of 1 - beta_t on DDPM's path; the
    published gradient stands beside the step with weight one.
    """
    a, s = (getattr(ddpm(1000), name).double() for name in ("alpha", "sigma"))
    sigma = s / a
    weights = [float(a[t] * a[t - 1] * (sigma[t] ** 2 - sigma[t - 1] ** 2)) for t in (1, 500, 1000)]
    betas = [1e-4 + (0.02 - 1e-4) * (t - 1) / 999 for t in (1, 500, 1000)]
    assert weights == pytest.approx([b / (1 - b) ** 0.5 for b in betas], rel=1e-3)
    assert weights[0] < 1.1e-4
    assert max(weights) < 1 / 49
