from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, cubic, linear_pro, residual, step
from unveil.errors import InputError, UnveilWarning

Path = Callable[[str], GaussianPath]
Images = Callable[..., tuple[Tensor, Tensor, Tensor]]


def test_every_path_begins_at_the_clean_image(process: GaussianPath) -> None:
    assert (float(process.alpha[0]), float(process.beta[0]), float(process.sigma[0])) == (1, 0, 0)
    assert (process.sigma.diff() > 0).all()
    assert len({len(c) for c in (process.alpha, process.beta, process.sigma, process.decay, process.timestep)}) == 1


def test_ratios_compose(process: GaussianPath) -> None:
    for v, u, t in itertools.combinations(range(process.steps + 1), 3):
        assert process.ratio(t, u) * process.ratio(u, v) == pytest.approx(process.ratio(t, v), rel=1e-14)


def test_fresh_noise_has_a_variance(process: GaussianPath) -> None:
    """s_t^2 = A[t|u]^2 s_u^2 + fresh with fresh >= 0 for every jump, or there were no such Markov chain."""
    for u, t in itertools.combinations(range(process.steps + 1), 2):
        assert float(process.sigma[t]) ** 2 - (process.ratio(t, u) * float(process.sigma[u])) ** 2 > 0


@pytest.mark.parametrize("name", ["residual linear_pro(12)", "residual cosine_pro(10)", "residual cubic(5)"])
def test_residual_one_jump_equals_many(name: str, path: Path) -> None:
    """x_t = sqrt(alpha) x_{t-1} + (1 - sqrt(alpha)) R + sqrt(1 - alpha) eps with R = y - x0, step after step."""
    p = path(name)
    a, b, variance = 1.0, 0.0, 0.0
    for t in range(1, p.steps + 1):
        root = p.ratio(t, t - 1)
        a, b, variance = root * a - (1 - root), root * b + 1 - root, root**2 * variance + 1 - root**2
        assert (a, b, variance) == pytest.approx(
            (float(p.alpha[t]), float(p.beta[t]), float(p.sigma[t]) ** 2), abs=1e-14
        )


@pytest.mark.parametrize(("name", "stationary"), [("mean reverting", 50 / 255), ("variance preserving", 1.0)])
def test_diffusions_one_jump_equals_many(name: str, stationary: float, path: Path) -> None:
    """An Ornstein-Uhlenbeck process forgets x0 at the rate at which it takes in y (if it does) and stationary noise."""
    p = path(name)
    a, b, variance = 1.0, 0.0, 0.0
    for t in range(1, p.steps + 1):
        keep = p.ratio(t, t - 1)
        a, variance = keep * a, keep**2 * variance + stationary**2 * (1 - keep**2)
        b = keep * b + 1 - keep if name == "mean reverting" else 0.0
        assert (a, b, variance) == pytest.approx(
            (float(p.alpha[t]), float(p.beta[t]), float(p.sigma[t]) ** 2), abs=1e-14
        )


def pairs(process: GaussianPath) -> list[tuple[int, int]]:
    n = process.steps
    return sorted({(2, 1), (n, n - 1), (n, 1), (n, n // 2), (n // 2 + 1, n // 2)})


def test_step_is_the_posterior_by_quadrature(process: GaussianPath) -> None:
    """q(x_u | x_t, x0, y) by Bayes on a grid of x_u against the mean and the eta of the step: 1e-9."""
    x0, y = torch.tensor(0.3, dtype=torch.float64), torch.tensor(-0.4, dtype=torch.float64)
    for t, u in pairs(process):
        a, b, s = process.alpha, process.beta, process.sigma
        x_t = a[t] * x0 + b[t] * y + 1.3 * s[t]
        fresh = (s[t] ** 2 - (process.ratio(t, u) * s[u]) ** 2).sqrt()
        centre = float(a[u] * x0 + b[u] * y)
        grid = centre + float(s[u]) * torch.linspace(-12, 12, 200_001, dtype=torch.float64)
        prior = (grid - centre) / s[u]
        likelihood = (x_t - a[t] * x0 - b[t] * y - process.ratio(t, u) * (grid - centre)) / fresh
        density = torch.softmax(-0.5 * (prior**2 + likelihood**2), 0)
        mean = (density * grid).sum()
        eta = process.ancestral(t, u)
        got = step(process, t, u, x_t, x0, y, eta, None)
        assert float(got) == pytest.approx(float(mean), abs=1e-9)
        assert eta == pytest.approx(float((density * (grid - mean) ** 2).sum().sqrt()), abs=1e-9)


def test_a_step_keeps_the_marginals(process: GaussianPath) -> None:
    """If x_t is drawn from the path, so is x_u, whatever eta: the mean and the variance of the step say so exactly."""
    for t, u in pairs(process):
        for share in (0.0, 0.3, 1.0):
            eta = share * float(process.sigma[u])
            one = torch.ones((), dtype=torch.float64)
            at_mean = process.alpha[t] * 0.7 + process.beta[t] * 0.2
            mean = step(process, t, u, at_mean, 0.7 * one, 0.2 * one, eta, None)
            slope = step(process, t, u, at_mean + process.sigma[t], 0.7 * one, 0.2 * one, eta, None) - mean
            assert float(mean) == pytest.approx(float(process.alpha[u] * 0.7 + process.beta[u] * 0.2), abs=1e-14)
            assert float(slope) ** 2 + eta**2 == pytest.approx(float(process.sigma[u]) ** 2, rel=1e-12)


def test_noise_is_added_as_said(images: Images, path: Path) -> None:
    p = path("residual linear_pro(12)")
    x0, y, eps = images()
    z = eps.flip(0)
    x_t = p.forward(x0, y, 4, eps)
    quiet = step(p, 4, 3, x_t, x0, y, 0.2, None)
    torch.testing.assert_close(step(p, 4, 3, x_t, x0, y, 0.2, z), quiet + 0.2 * z)
    torch.testing.assert_close(step(p, 4, 3, x_t, x0, y, float(p.sigma[3]), z), p.forward(x0, y, 3, z))


def test_forward_takes_one_index_or_one_for_each_sample(process: GaussianPath, images: Images) -> None:
    x0, y, eps = images(batch=3)
    t = torch.tensor([1, process.steps, 2])
    together = process.forward(x0, y, t, eps)
    for i in range(3):
        alone = process.forward(x0[i : i + 1], y[i : i + 1], int(t[i]), eps[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)
    assert torch.equal(process.forward(x0, y, 0, eps), x0)
    assert process.forward(x0.float(), y.float(), t, eps.float()).dtype == torch.float32


@pytest.mark.parametrize("name", ["residual linear_pro(12)", "residual cubic(5)"])
def test_the_start_forgets_the_clean_image(name: str, path: Path, images: Images) -> None:
    p = path(name)
    x0, y, eps = images()
    assert float(p.alpha[-1]) == 0
    torch.testing.assert_close(p.start(y, eps), p.forward(x0, y, p.steps, eps), rtol=0, atol=1e-15)


def test_what_networks_are_told(path: Path) -> None:
    assert torch.equal(path("residual linear_pro(12)").timestep, path("residual linear_pro(12)").sigma)
    assert residual(linear_pro(12), "index").timestep.tolist() == [-1, 0, 1, 2, 3, 4]
    assert path("mean reverting").timestep[-1] == 20
    assert path("variance preserving").timestep[-1] == 19
    with pytest.raises(InputError, match="'level' or 'index', got 'seconds'"):
        residual(linear_pro(12), "seconds")


def test_a_subset_keeps_marginals_and_what_was_trained(process: GaussianPath) -> None:
    indices = [0, 1, 3, process.steps]
    few = process.subset(indices)
    for table in ("alpha", "beta", "sigma", "decay", "timestep"):
        assert torch.equal(getattr(few, table), getattr(process, table)[indices])
    assert few.ratio(3, 2) == process.ratio(process.steps, 3)
    for small, large in enumerate(indices[1:], 1):
        assert few.trained_ratio(small) == process.trained_ratio(large) == process.ratio(large, large - 1)
        assert few.subset([0, 2, 3]).trained_ratio(2) == process.trained_ratio(process.steps)


@pytest.mark.parametrize("indices", [[], [0], [1, 2], [0, 2, 2], [0, 3, 2], [0, 6], [0, -1]])
def test_subsets_that_are_none(indices: list[int]) -> None:
    with pytest.raises(InputError, match=r"ascend from 0 within 0\.\.5"):
        residual(linear_pro(12)).subset(indices)


@pytest.mark.parametrize("trained", [1, 2, 5, 37])
def test_evenly(trained: int) -> None:
    p = residual(cubic(trained))
    for steps in range(1, trained + 1):
        few = p.respaced(steps)
        picked = [p.sigma.tolist().index(s) for s in few.sigma.tolist()]
        assert (picked[0], picked[-1], len(picked)) == (0, trained, steps + 1)
        gaps = [after - before for before, after in itertools.pairwise(picked)]
        assert min(gaps) >= 1
        assert max(gaps) <= trained / steps + 1
    for steps in (0, trained + 1):
        with pytest.raises(InputError, match=rf"between 1 and {trained} for residual.*got {steps}"):
            p.respaced(steps)


def test_a_process_is_a_value_that_can_be_compared_and_kept_in_a_set(path: Path) -> None:
    p = path("residual linear_pro(12)")
    assert p == p
    assert p != path("residual linear_pro(12)")
    assert len({p, p}) == 1
    with pytest.raises(AttributeError):
        p.name = "other"  # type: ignore[misc]


def test_no_noise_is_noise_of_zero(process: GaussianPath, images: Images) -> None:
    x0, y, _ = images()
    none = torch.zeros_like(y)
    assert torch.equal(process.forward(x0, y, 1, None), process.forward(x0, y, 1, none))
    assert torch.equal(process.start(y, None), process.start(y, none))


def test_the_names_of_before_still_work_and_warn():
    with pytest.warns(UnveilWarning, match=r"Process is called GaussianPath.*0\.2"):
        from unveil.diffusion import Process
    p = residual(linear_pro(12))
    old = Process(p.name, a=p.alpha, b=p.beta, s=p.sigma, r=p.decay, time=p.timestep)
    assert isinstance(old, GaussianPath)
    assert isinstance(p, Process)
    for before, now in (("a", "alpha"), ("b", "beta"), ("s", "sigma"), ("r", "decay"), ("time", "timestep")):
        with pytest.warns(UnveilWarning, match=f"{before} is called {now}"):
            assert getattr(old, before) is getattr(p, now)
    with pytest.warns(UnveilWarning, match="evenly is called respaced"):
        assert torch.equal(p.evenly(2).alpha, p.respaced(2).alpha)
    with pytest.raises(AttributeError, match="nothing"):
        _ = p.nothing
