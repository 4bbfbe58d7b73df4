"""TAO: what psi learns, what pulls the estimate, and the published numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gaussian import GaussianPrior, ddpm
from torch import Tensor

from unveil.diffusion.noise import seeded
from unveil.errors import InputError
from unveil.zeroshot import tao
from unveil.zeroshot.adapter import applied
from unveil.zeroshot.losses import perceptual

GENERATOR = torch.Generator


def picture(seed: int, size: int = 16) -> Tensor:
    coarse = torch.rand(1, 3, 4, 4, generator=GENERATOR().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def pull(task: str = "lowlight", **settings: Any) -> tao.Pull:
    chosen = tao.TaoSettings(task, 10, width=6, **settings)
    return tao.Pull(0.3 * picture(1), task, chosen, seeded([3]), perceptual())


def test_psi_has_the_published_size() -> None:
    layers = ((3, 64, 9), (64, 128, 9), (128, 256, 9), (256, 3, 1))
    wanted = sum(before * after * taps + after for before, after, taps in layers)
    psi = tao.adapter(64, GENERATOR().manual_seed(0))
    assert sum(p.numel() for p in psi.parameters()) == wanted == 371_587
    assert "371,587 parameters" in (tao.adapter.__doc__ or "")


@pytest.mark.parametrize("width", [6, 16])
def test_psi_can_begin_as_any_map_of_colours(width: int) -> None:
    psi, draw = tao.adapter(width, GENERATOR().manual_seed(0)), GENERATOR().manual_seed(1)
    matrix, offset = torch.randn(3, 3, generator=draw), torch.randn(3, generator=draw)
    tao.begin_as(psi, matrix, offset)
    x = 2 * picture(1) - 0.5
    torch.testing.assert_close(psi(x), applied(matrix, offset, x), rtol=0, atol=2e-6)


def test_psi_learns_to_keep_its_input() -> None:
    """With the content terms alone a random network tends to the identity."""
    model = pull("denoise", first="random")
    x = torch.cat([picture(1), picture(2)])

    @torch.no_grad()
    def off() -> float:
        return float((model.psi(x) - x).square().mean())

    before = off()
    for _ in range(60):
        model.learn(x)
    assert off() < 0.3 * before


@pytest.mark.parametrize("time", [0.9, 0.5, 0.01])
@pytest.mark.parametrize("task", tao.TASKS)
def test_the_pull_is_the_losss_gradient(task: str, time: float) -> None:
    """Finite differences along three directions, in fp64, with the discriminators held still."""
    model = pull(task, first="random")  # psi's kinks are not where colours are nought
    for part in (model.psi, model.inside.network, model.outside.network):
        part.double()
    model.y = model.y.double()
    model.loss = perceptual.__wrapped__().double()
    model.outside.learn = lambda fake, real: None
    x = torch.cat([picture(1), picture(2)]).double().requires_grad_()
    loss = model.objective(x, time)
    if loss.requires_grad is False or float(loss.detach()) == 0:
        assert (task, time) == ("lowlight", 0.9)  # whose warm-up has no weight
        return
    (g,) = torch.autograd.grad(loss, x)
    for seed in range(3):
        d = torch.randn(x.shape, generator=GENERATOR().manual_seed(seed), dtype=x.dtype)
        h = 1e-6
        with torch.no_grad():
            slope = float(model.objective(x + h * d, time) - model.objective(x - h * d, time)) / (2 * h)
        assert slope == pytest.approx(float((g * d).sum()), rel=2e-3, abs=1e-9)
    free = g[1].abs().max()
    assert (float(free) > 0) == (time >= tao.WARM)  # the second sample is pulled while warming up only


def test_a_pull_lowers_the_loss_and_stops_at_the_noise() -> None:
    """As far as the parabola's lowest point, half as far with half the trust, and not into the photograph's own noise."""
    x = torch.cat([picture(5), picture(6)])

    def decode(z: Tensor) -> Tensor:
        return (z + 1) / 2

    def pulled(model: tao.Pull, strides: float) -> Tensor:
        leaf = z.clone().requires_grad_()
        return model.pull(decode, leaf, decode(leaf), 0.5, strides)

    whole, half, wild = (pull("dehaze", trust=trust) for trust in (1.0, 0.5, 0.0))
    z = 2 * x - 1
    far = pulled(whole, 1e6)
    torch.testing.assert_close(pulled(half, 1e6), far / 2)
    assert float(pulled(wild, 1e6).norm()) > 100 * float(far.norm())
    before, after = (float(whole.objective(decode(at), 0.5).detach()) for at in (z, z + far))
    assert after < 0.8 * before
    short = pulled(whole, 1e-3)
    torch.testing.assert_close(short, pulled(wild, 1e-3))
    whole.least = 0.7 * before
    there = float(whole.objective(decode(z + pulled(whole, 1e6)), 0.5).detach())
    assert there == pytest.approx(0.7 * before, rel=0.02)
    whole.least = before
    assert float(pulled(whole, 1e6).abs().max()) == 0


def test_scales_are_those_of_256_pixels() -> None:
    assert pull("dehaze").scale == pytest.approx(25000 * 16 * 16 / 256**2)
    assert pull("dehaze", guidance=100.0).scale == pytest.approx(100 * 16 * 16 / 256**2)


@pytest.mark.slow
def test_a_noisy_picture_keeps_what_the_prior_expects() -> None:
    """A prior of nearly constant images and a noisy constant picture: what is left of the noise is under half."""
    size = 16
    variance = torch.full((3, size, size), 1e-3)
    variance[:, 0, 0] = 0.3 * size * size
    from unveil.zeroshot.operators import Blur

    basis = Blur(torch.zeros(1, 3, size, size), 1.0)
    prior = GaussianPrior(torch.zeros(3, 1, 1), variance, basis.analyse, basis.synthesise, ddpm())
    truth = torch.tensor([0.4, -0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, size, size)
    y = truth + 0.3 * torch.randn(truth.shape, generator=GENERATOR().manual_seed(1))
    out = tao.restore(prior, y, seeded([2]), tao.TaoSettings("denoise", 40, inner=10, width=8))
    assert float((out - truth).square().mean()) < 0.25 * float((y - truth).square().mean())


@pytest.mark.parametrize("task", ["colorize", "deblur"])
def test_tasks_without_published_weights_are_refused(task: str) -> None:
    prior = GaussianPrior(torch.zeros(3, 1, 1), torch.tensor(0.2), process=ddpm())
    with pytest.raises(InputError, match=f"tao has no weights for the task '{task}'; known are auto, lowlight"):
        tao.restore(prior, 2 * picture(1) - 1, seeded([1]), tao.TaoSettings(task, 2, width=6))


def test_a_grey_photograph_has_a_row() -> None:
    """TAO has no weights for colouring: what grey photographs suffer from besides is guessed."""
    grey = (0.1 + 0.05 * picture(1)[0, :1]).expand(3, -1, -1)
    assert tao._row("auto", 2 * grey - 1) == "lowlight"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": "x"}, "unknown first 'x'; known are simplest, random"),
        ({"width": 5}, "width must be at least 6"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"crop": 1}, "crop must be 0, for the whole image, or at least 2"),
        ({"guidance": float("inf")}, "guidance must be finite, got inf"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tao.TaoSettings(**options)
