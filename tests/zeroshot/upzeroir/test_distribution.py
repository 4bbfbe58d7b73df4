"""DegLoss: zero where laws agree, exact where the Gaussian's formula is, and every option does what its name says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unveil.errors import InputError
from unveil.zeroshot.distribution import (
    BOUNDS,
    DIRECTIONS,
    GROUPINGS,
    LOCATIONS,
    Fit,
    deg_loss,
    divergence,
    grouped,
    laws,
)

F64 = torch.float64


def latents(seed: int, *shape: int) -> Tensor:
    return torch.randn(*(shape or (2, 4, 16, 24)), dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_groups_hold_every_sample_once() -> None:
    z = latents(0)
    assert grouped(z, "channel").shape == (2, 4, 384)
    assert grouped(z, "pooled").shape == (2, 1, 1536)
    patches = grouped(z, "patch")
    assert patches.shape == (2, 4 * 2 * 3, 64)
    assert torch.equal(patches[1, 7], z[1, 1, :8, 8:16].flatten())
    assert torch.equal(patches.flatten(1).sort().values, z.flatten(1).sort().values)
    assert torch.equal(grouped(z[..., :5, :], "patch"), grouped(z[..., :5, :], "channel"))


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("bound", BOUNDS)
def test_zero_for_the_same_latents_and_more_for_others(
    grouping: str, location: str, direction: str, bound: str
) -> None:
    z = latents(1)
    options = {"grouping": grouping, "location": location, "direction": direction, "bound": bound}
    target = laws(z, grouping, location)
    torch.testing.assert_close(deg_loss(z, target, **options), torch.zeros(2, dtype=F64), rtol=0, atol=1e-12)
    narrow = deg_loss(0.5 * z, target, **options)
    assert (narrow > 0.05).all()
    # One image's loss is its own: the other changes nothing.
    mixed = deg_loss(torch.cat([0.5 * z[:1], z[1:]]), target, **options)
    torch.testing.assert_close(mixed, torch.stack([narrow[0], 0 * narrow[1]]), rtol=1e-9, atol=1e-12)


def test_shifted_gaussians_have_their_exact_divergence() -> None:
    def law(mean: float, sigma: float) -> Fit:
        mean_, sigma_ = torch.tensor([[mean]], dtype=F64), torch.tensor([[sigma]], dtype=F64)
        return Fit(mean_, sigma_, torch.full_like(mean_, 2.0))

    p, q = law(0.3, 0.5), law(-0.2, 0.8)
    want = torch.distributions.kl_divergence(
        torch.distributions.Normal(0.3, 0.5), torch.distributions.Normal(-0.2, 0.8)
    )
    assert float(divergence(p, q)) == pytest.approx(float(want), rel=1e-6)
    assert float(divergence(p, q, "ignore")) == pytest.approx(float(want) - 0.5**2 / (2 * 0.8**2), rel=1e-5)


def test_what_each_location_sees_of_haze() -> None:
    """A shift of the mean alone: invisible to centred laws, spread to laws about zero, itself where it is added."""
    z = 0.3 * latents(2)
    target = {location: laws(z, location=location) for location in LOCATIONS}
    shifted = {location: float(deg_loss(z + 0.4, target[location], location=location)[0]) for location in LOCATIONS}
    assert shifted["ignore"] < 1e-12
    assert shifted["zero"] > 0.01
    assert shifted["shift"] > 0.3


def test_directions_and_bounds_are_what_they_say() -> None:
    z, target = 0.6 * latents(3), laws(latents(4))
    plain = {d: deg_loss(z, target, direction=d, bound="none") for d in DIRECTIONS}
    torch.testing.assert_close(plain["symmetric"], (plain["forward"] + plain["reverse"]) / 2)
    own = laws(z)
    torch.testing.assert_close(plain["forward"], divergence(own, target).mean(1))
    torch.testing.assert_close(plain["reverse"], divergence(target, own).mean(1))
    torch.testing.assert_close(deg_loss(z, target), divergence(own, target).log1p().mean(1))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("location", LOCATIONS)
def test_gradients_against_finite_differences(direction: str, location: str) -> None:
    z = (0.7 * latents(5, 1, 2, 3, 3) + 0.1).requires_grad_()
    target = laws(latents(6, 1, 2, 3, 3), location=location)
    assert torch.autograd.gradcheck(lambda z: deg_loss(z, target, direction=direction, location=location), z)


def test_the_bound_keeps_wide_against_light_tails_in_hand() -> None:
    """A nearly uniform, narrow target and wide latents: KL in the thousands, its bounded form and slope of order one."""
    target = laws(torch.linspace(-0.5, 0.5, 384, dtype=F64).expand(1, 4, 384).reshape(1, 4, 16, 24))
    z = (5 * latents(7, 1, 4, 16, 24)).requires_grad_()
    raw, bounded = deg_loss(z, target, bound="none"), deg_loss(z, target)
    assert float(raw.detach()) > 1e3
    assert float(bounded.detach()) < 30
    (slope,) = torch.autograd.grad(bounded.sum(), z)
    assert float(slope.abs().sum()) < 30


def test_flat_latents_have_a_finite_loss_and_gradient() -> None:
    z = torch.full((1, 4, 16, 24), 0.2, requires_grad=True)
    value = deg_loss(z, laws(latents(8, 1, 4, 16, 24).float()))
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert math.isfinite(float(value.detach()))
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("option", ["grouping", "location", "direction", "bound"])
def test_unknown_names_are_refused(option: str) -> None:
    z = latents(9)
    with pytest.raises(InputError, match=f"unknown {option} 'x'; known are"):
        deg_loss(z, laws(z), **{option: "x"})
