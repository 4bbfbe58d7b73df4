from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.diffusion import GaussianPath, cubic, linear_pro, residual, sample
from unveil.diffusion.noise import seeded
from unveil.diffusion.resolution import READINGS, SWITCHES, Resolution, resize
from unveil.diffusion.sampling import Progress, eta, step
from unveil.errors import Cancelled, InputError, UnveilWarning

Images = Callable[..., tuple[Tensor, Tensor, Tensor]]
STEPPERS = ("ancestral", "ddim", "renoise", "2m")
FIVE = residual(linear_pro(12))


def network(x: Tensor, y: Tensor, t: int) -> Tensor:
    """Something with the shape of a denoiser: nonlinear, and each pixel sees its neighbours."""
    around = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.tanh(0.6 * y + 0.3 * around + 0.1 * torch.sin(3 * x) - 0.01 * t)


@pytest.mark.parametrize("resolution", [Resolution(r, low=4, switch=s) for r in READINGS for s in SWITCHES], ids=str)
@pytest.mark.parametrize("solver", STEPPERS)
def test_same_seed_same_pixels_whatever_the_batch(solver: str, resolution: Resolution, images: Images) -> None:
    """Bit for bit, in float32: alone, in a batch, in another order."""
    _, y, _ = images(9, 13, 3, torch.float32)
    seeds = [3, 3, 12345]

    def run(which: list[int]) -> Tensor:
        noise = seeded([seeds[i] for i in which])
        return sample(network, y[which], FIVE, noise, solver=solver, resolution=resolution, fidelity=0.25)

    together = run([0, 1, 2])
    assert torch.equal(run([2, 0, 1]), together[[2, 0, 1]])
    for i in range(3):
        assert torch.equal(run([i]), together[i : i + 1])


def test_other_seeds_other_pixels(images: Images) -> None:
    _, y, _ = images(9, 13, 1)
    assert not torch.equal(sample(network, y, FIVE, seeded([1])), sample(network, y, FIVE, seeded([2])))


@pytest.mark.parametrize("solver", STEPPERS)
def test_callback_sees_every_evaluation_in_order(solver: str, images: Images) -> None:
    _, y, _ = images()
    events: list[Any] = []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        events.append(t)
        return network(x, y, t)

    def callback(progress: Progress) -> None:
        events.append((progress.index, progress.steps, tuple(progress.x0_hat.shape)))

    out = sample(denoise, y, FIVE, seeded([0, 1]), solver=solver, callback=callback)
    assert events == [e for i in range(5) for e in (5 - i, (i, 5, (2, 3, 5, 7)))]
    assert torch.equal(out, sample(network, y, FIVE, seeded([0, 1]), solver=solver))


def test_the_last_estimate_shown_is_the_result(images: Images) -> None:
    _, y, _ = images()
    seen: list[Tensor] = []
    out = sample(network, y, FIVE, seeded([0, 1]), callback=lambda progress: seen.append(progress.x0_hat))
    assert torch.equal(out, seen[-1])


@pytest.mark.parametrize("solver", STEPPERS)
def test_a_callback_may_do_with_its_estimate_what_it_likes(solver: str, images: Images) -> None:
    _, y, _ = images()

    def spoil(progress: Progress) -> None:
        progress.x0_hat.zero_()
        assert progress.x0_hat is progress.x0_hat  # copied once

    out = sample(network, y, FIVE, seeded([0, 1]), solver=solver, callback=spoil)
    assert torch.equal(out, sample(network, y, FIVE, seeded([0, 1]), solver=solver))


@pytest.mark.parametrize("at", range(5))
def test_cancel_stops_at_once(at: int, images: Images) -> None:
    _, y, _ = images()
    calls: list[int] = []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        calls.append(t)
        return network(x, y, t)

    with pytest.raises(Cancelled, match=f"cancelled after step {at + 1} of 5"):
        sample(denoise, y, FIVE, seeded([0, 1]), callback=lambda progress: progress.index == at)
    assert calls == [5, 4, 3, 2, 1][: at + 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "euler"}, "unknown solver 'euler'; known are ancestral, ddim, renoise, 2m"),
        ({"fidelity": -0.1}, r"fidelity must lie in \[0, 1\], got -0.1"),
        ({"fidelity": 1.01}, r"fidelity must lie in \[0, 1\], got 1.01"),
        ({"fidelity": float("nan")}, r"fidelity must lie in \[0, 1\], got nan"),
    ],
)
def test_unusable_settings_are_refused_before_any_work(settings: dict, message: str, images: Images) -> None:
    _, y, _ = images()

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        raise AssertionError("asked for an estimate")

    with pytest.raises(InputError, match=message):
        sample(denoise, y, FIVE, seeded([0, 1]), **settings)


@pytest.mark.parametrize(
    ("solver", "draws"),
    [("ancestral", [0, 1, 2, 3, 4]), ("ddim", [0]), ("2m", [0]), ("renoise", [0, 1, 2, 3, 4])],
)
def test_draws_are_numbered_by_the_evaluation_they_precede(solver: str, draws: list[int], images: Images) -> None:
    """No draw that is not used, and none after the last step."""
    _, y, _ = images()
    asked: list[int] = []

    def noise(index: int, like: Tensor) -> Tensor:
        asked.append(index)
        return torch.zeros_like(like)

    sample(network, y, FIVE, noise, solver=solver)
    assert asked == draws


@pytest.mark.parametrize("solver", STEPPERS)
def test_fidelity_scales_every_draw(solver: str, images: Images) -> None:
    _, y, _ = images()
    unit = seeded([7, 8])
    got = sample(network, y, FIVE, unit, solver=solver, fidelity=0.75)
    torch.testing.assert_close(got, sample(network, y, FIVE, lambda k, x: 0.25 * unit(k, x), solver=solver))


def test_how_much_noise_is_fresh(process: GaussianPath) -> None:
    t, u = process.steps, process.steps - 1
    assert eta(process, "ancestral", t, u) == process.ancestral(t, u)
    assert eta(process, "renoise", t, u) == float(process.sigma[u])
    assert eta(process, "ddim", t, u) == eta(process, "2m", t, u) == 0
    assert 0 < process.ancestral(t, u) < float(process.sigma[u])
    assert all(eta(process, solver, 1, 0) == 0 for solver in STEPPERS)


def test_the_first_two_steps_of_the_second_order_are_of_the_first(images: Images) -> None:
    """ln(a / s) is minus infinity at the start; so two steps are plain DDIM, and the third is not."""
    _, y, _ = images()
    states: dict[str, list[Tensor]] = {"ddim": [], "2m": []}
    for solver, seen in states.items():

        def denoise(x: Tensor, y: Tensor, t: int, seen: list[Tensor] = seen) -> Tensor:
            seen.append(x)
            return network(x, y, t)

        sample(denoise, y, FIVE, seeded([0, 1]), solver=solver)
    same = [torch.equal(a, b) for a, b in zip(states["ddim"], states["2m"], strict=True)]
    assert same == [True, True, True, False, False]


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("solver", STEPPERS)
def test_a_perfect_predictor_returns_the_clean_image(
    solver: str, reading: str, switch: str, process: GaussianPath, images: Images
) -> None:
    """Exactly, through every path, solver, reading and switch, and at the size of y."""
    x0, y, _ = images(9, 13)
    out = sample(
        lambda x, y, t: resize(x0, (int(y.shape[-2]), int(y.shape[-1]))),
        y,
        process,
        seeded([1, 2]),
        solver=solver,
        resolution=Resolution(reading, low=5, switch=switch),
    )
    assert torch.equal(out, x0)


@pytest.mark.parametrize("solver", STEPPERS)
def test_a_perfect_predictor_stays_on_the_path(solver: str, process: GaussianPath, white: Callable[[int], Any]) -> None:
    """Every state it is shown is a x0 + b y + s times unit noise (the start has y where x0 should be)."""
    x0, y = torch.full((2, 1, 1, 200, 200), 0.6, dtype=torch.float64) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        known = y if t == process.steps else x0
        noise = (x - float(process.alpha[t]) * known - float(process.beta[t]) * y) / float(process.sigma[t])
        # A start that holds some x0 has y there instead; the deterministic solvers never forget it.
        slack = 3 * float(process.alpha[-1].abs() / process.sigma[-1])
        assert abs(float(noise.mean())) < 4 / 200 + slack
        assert abs(float(noise.std()) - 1) < 4 / (200 * 2**0.5)
        return x0

    sample(denoise, y, process, white(9), solver=solver)


@pytest.mark.parametrize("solver", STEPPERS)
def test_one_step_is_one_evaluation(solver: str, images: Images) -> None:
    _, y, _ = images()
    one = residual(cubic(1))
    start = one.start(y, seeded([0, 1])(0, y))
    assert torch.equal(sample(network, y, one, seeded([0, 1]), solver=solver), network(start, y, 1))


@pytest.mark.parametrize("resolution", [Resolution("off"), Resolution("coarse_to_fine", low=3)], ids=str)
@pytest.mark.parametrize("solver", STEPPERS)
def test_derivatives_through_the_loop(solver: str, resolution: Resolution, images: Images) -> None:
    """Of the result by y and by the first draw, against finite differences: what guidance differentiates."""
    _, y, z = (v[:1, :1].clone().requires_grad_() for v in images(4, 5))

    def run(y: Tensor, z: Tensor) -> Tensor:
        def noise(index: int, like: Tensor) -> Tensor:
            return resize(z, (int(like.shape[-2]), int(like.shape[-1]))) * (1 + 0.1 * index)

        return sample(network, y, FIVE, noise, solver=solver, resolution=resolution)

    assert torch.autograd.gradcheck(run, (y, z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_type_of_y_is_kept(dtype: torch.dtype, images: Images) -> None:
    _, y, _ = images(dtype=torch.float32)
    out = sample(network, y.to(dtype), FIVE, seeded([0, 1]), solver="2m", resolution=Resolution("hourglass"))
    assert out.dtype == dtype
    torch.testing.assert_close(
        out.float(),
        sample(network, y, FIVE, seeded([0, 1]), solver="2m", resolution=Resolution("hourglass")),
        rtol=0,
        atol=0.05 if dtype == torch.bfloat16 else 1e-5,
    )


@pytest.mark.parametrize("solver", [*STEPPERS])
def test_a_guide_moves_every_state_and_the_result(solver: str, images: Images) -> None:
    """It sees where each step left and arrived, in order; what it returns is what the next evaluation gets."""
    _, y, _ = images()
    asked, arrived = [], []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        asked.append(x)
        return network(x, y, t)

    def guide(x_u: Tensor, x0_hat: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
        assert u == t - 1
        assert x_t is asked[-1]
        assert torch.equal(x0_hat, network(x_t, y, t))
        assert (x_u is x0_hat) == (u == 0)
        arrived.append(x_u + 0.01 * t)
        return arrived[-1]

    out = sample(denoise, y, FIVE, seeded([0, 1]), solver=solver, guide=guide)
    assert out is arrived[-1]
    assert len(arrived) == 5
    assert all(a is b for a, b in zip(arrived, asked[1:], strict=False))
    plain = sample(network, y, FIVE, seeded([0, 1]), solver=solver, guide=lambda x_u, x0_hat, x_t, t, u: x_u)
    assert torch.equal(plain, sample(network, y, FIVE, seeded([0, 1]), solver=solver))


def test_a_guide_sees_changes_of_resolution(images: Images) -> None:
    _, y, _ = images(9, 13)
    sizes = []

    def guide(x_u: Tensor, x0_hat: Tensor, x_t: Tensor, t: int, u: int) -> Tensor:
        sizes.append((tuple(x_t.shape[-2:]), tuple(x_u.shape[-2:])))
        return x_u

    sample(network, y, FIVE, seeded([0, 1]), resolution=Resolution(low=4), guide=guide)
    low, native = (3, 4), (9, 13)
    assert sizes == [(low, low), (low, low), (low, native), (native, native), (native, native)]


def test_the_path_is_still_taken_as_process(images: Images) -> None:
    x0_hat, y, _ = images(9, 13, 1, torch.float32)
    new = step(FIVE, t=2, u=1, x_t=y, x0_hat=x0_hat, y=y, eta=0.0, z=None)
    with pytest.warns(UnveilWarning, match=r"step's process is called path; the old name goes in 0\.2"):
        old = step(process=FIVE, t=2, u=1, x_t=y, x0_hat=x0_hat, y=y, eta=0.0, z=None)  # type: ignore[call-arg]
    assert torch.equal(old, new)
