from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.degradation.camera import NOISE_TYPES, noise

GREY = torch.full((120, 3, 64, 64), 0.5)


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """Residuals (120, 3, 64, 64), stated sigmas (120,) and types (120,) on mid grey, where a sigma of 20/255 is never
    clipped.
    """
    y, p = noise(GREY, torch.Generator().manual_seed(0), 0.7)
    return y - GREY, p["sigma"].flatten(), p["type"].flatten()


@pytest.mark.parametrize("kind", NOISE_TYPES)
def test_sigma_is_the_stated_one(kind: str, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    residual, sigma, kinds = drawn
    chosen = kinds == NOISE_TYPES.index(kind)
    assert chosen.sum() >= 2
    measured = residual[chosen].square().mean().sqrt()
    torch.testing.assert_close(measured, sigma[chosen].mean(), rtol=0.05, atol=0)


def test_on_a_photograph_too(photographs: Tensor, generator: torch.Generator) -> None:
    y, p = noise(0.25 + 0.5 * photographs, generator, 0.4)
    measured = (y - (0.25 + 0.5 * photographs)).square().mean((1, 2, 3)).sqrt()
    assert (measured / p["sigma"].flatten() - 1).abs().max() < 0.08
    assert (measured.mean() / p["sigma"].mean() - 1).abs() < 0.05


def test_types_differ_as_named(drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    residual, _, kinds = drawn

    def of(kind: str) -> Tensor:
        return residual[kinds == NOISE_TYPES.index(kind)]

    def neighbours(n: Tensor) -> float:
        return float((n[..., 1:] * n[..., :-1]).mean() / n.square().mean())

    assert abs(neighbours(of("colour"))) < 0.02
    assert neighbours(of("correlated")) > 0.1
    assert neighbours(of("blotched")) > 0.1
    assert torch.equal(of("grey")[:, 0], of("grey")[:, 2])
    assert not torch.equal(of("colour")[:, 0], of("colour")[:, 2])
    grain = of("grain")
    assert neighbours(grain) > 0.3
    alike = (grain[:, 0] * grain[:, 2]).mean() / (grain[:, 0].square().mean() * grain[:, 2].square().mean()).sqrt()
    assert alike > 0.8


def test_grain_is_strongest_in_the_middle_tones(generator: torch.Generator) -> None:
    ramp = torch.linspace(0.1, 0.9, 64).expand(200, 3, 64, 64)
    y, p = noise(ramp, generator, 0.3)
    grain = (y - ramp)[p["type"].flatten() == NOISE_TYPES.index("grain")]
    dark, middle, light = (grain[..., at : at + 12].square().mean().sqrt() for at in (0, 26, 52))
    assert middle > 1.1 * max(dark, light)


def test_camera_noise_follows_the_light(generator: torch.Generator) -> None:
    ramp = torch.linspace(0.2, 0.8, 64).expand(40, 3, 64, 64)
    y, p = noise(ramp, generator, 0.5)
    camera = (y - ramp)[p["type"].flatten() == NOISE_TYPES.index("camera")]
    std = camera.square().mean((1, 2)).sqrt()
    spread = (std[:, :8].mean(1) / std[:, -8:].mean(1)).log().abs()
    white = (y - ramp)[p["type"].flatten() == NOISE_TYPES.index("colour")].square().mean((1, 2)).sqrt()
    spread_white = (white[:, :8].mean(1) / white[:, -8:].mean(1)).log().abs()
    assert spread_white.max() < 0.05
    assert spread.mean() > 0.08


def test_mild_noise_is_common(generator: torch.Generator) -> None:
    _, p = noise(torch.zeros(400, 3, 2, 2), generator)
    sigma = p["sigma"].flatten() * 255
    # Log-uniform between 1 and 60: half of all draws lie below sqrt(60).
    assert 0.42 < (sigma < 60**0.5).float().mean() < 0.58
    assert sigma.min() >= 1 - 1e-4
    assert sigma.max() <= 60 + 1e-4
