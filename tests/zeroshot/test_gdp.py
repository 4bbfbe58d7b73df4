"""GDP's blind light model, and what its published scales are per pixel."""

from __future__ import annotations

import pytest
import torch
from gaussian import F64, GaussianPrior, ddpm, white

from unveil.zeroshot import gdp


def test_weights_are_the_published_scales_per_pixel() -> None:
    """scale d MSE/d x for images in [0, 1] of 256 x 256, taken by autograd, is WEIGHT times x - y in [-1, 1]."""
    x = torch.rand(1, 3, 256, 256, dtype=F64).mul(2).sub(1).requires_grad_()
    y = torch.rand(1, 3, 256, 256, dtype=F64).mul(2).sub(1)
    (g,) = torch.autograd.grad(4000 * (((x + 1) / 2 - (y + 1) / 2) ** 2).mean(), x)
    torch.testing.assert_close(g, gdp.WEIGHT["mask"] * (x - y).detach(), rtol=1e-10, atol=0)


def test_the_light_model_descends_its_own_error() -> None:
    """f and M move by rate 1 along the negative gradient, taken by autograd; images of a batch do not meet."""
    generator = torch.Generator().manual_seed(2)
    x, y = torch.rand(2, 2, 3, 5, 6, generator=generator, dtype=F64)
    model = gdp.Light(y, white(3), 0)
    gain, veil = model.gain.clone().requires_grad_(), model.veil.clone().requires_grad_()
    loss = ((gain * x + veil - y) ** 2).flatten(1).mean(1).sum()
    of_gain, of_veil = torch.autograd.grad(loss, (gain, veil))
    rest = model.descend(x, y)
    torch.testing.assert_close(rest, (gain * x + veil - y).detach(), rtol=0, atol=1e-14)
    torch.testing.assert_close(model.gain, (gain - of_gain).detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.veil, (veil - of_veil).detach(), rtol=0, atol=1e-12)


def test_the_gain_of_a_darkened_picture_is_found_and_the_veil_hardly_moves() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(2, 3, 64, 64, generator=generator, dtype=F64)
    y = torch.tensor([0.2, 0.7], dtype=F64).view(2, 1, 1, 1) * x
    model = gdp.Light(y, white(5), 0)
    start = model.veil.clone()
    for _ in range(100):
        model.descend(x, y)
    torch.testing.assert_close(model.gain.flatten(), torch.tensor([0.2, 0.7], dtype=F64), rtol=0, atol=2e-3)
    assert float((model.veil - start).abs().max()) < 2e-3


def smooth_prior(size: int = 16) -> GaussianPrior:
    """Images of a known brightness: mean 0.1, the constant almost fixed, detail smooth."""
    from unveil.zeroshot.operators import Blur

    blur = Blur(torch.zeros(1, 3, size, size, dtype=F64), 2.0)
    variance = 0.5 * blur.weights[0] ** 2 + 1e-4
    variance[:, 0, 0] = 1e-3
    return GaussianPrior(
        torch.tensor(0.1, dtype=F64).expand(3, 1, 1), variance.expand(3, -1, -1), blur.analyse, blur.synthesise, ddpm()
    )


def test_blind_light_brings_a_dark_picture_to_the_priors_brightness() -> None:
    """The prior knows how bright images are, the model finds the rest: detail and exposure come back."""
    prior = smooth_prior()
    x0 = prior.draw(2, torch.Generator().manual_seed(6))
    y = 0.25 * (x0 + 1) - 1
    out = gdp.restore(prior, y, white(7), gdp.GdpSettings("light", None, 100))
    error = (out - x0).square().mean((1, 2, 3)).sqrt()
    dark = (y - x0).square().mean((1, 2, 3)).sqrt()
    assert (error < 0.35 * dark).all()
    assert float(out.mean()) == pytest.approx(0.1, abs=0.08)
    # by its model of the light and not by the prior alone
    free = gdp.restore(prior, y, white(7), gdp.GdpSettings("light", None, 100, 0.0))
    assert (error < 0.7 * (free - x0).square().mean((1, 2, 3)).sqrt()).all()


def test_no_step_overshoots() -> None:
    """However few steps, the share taken stays below one: a weight of 0.2 per trained step, two steps in all."""
    prior = smooth_prior()
    y = prior.draw(1, torch.Generator().manual_seed(8))
    out = gdp.restore(prior, y, white(9), gdp.GdpSettings("identity", None, 2, 0.2))
    torch.testing.assert_close(out, y, rtol=0, atol=1e-6)  # a share of 1 - 0.8^500 at the end is all of it
    assert prior.process.uniform_timesteps(2) == [0, 500, 1000]
