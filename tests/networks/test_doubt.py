"""The network that says how far a restoration is off: its likelihood against closed forms, its strips against the whole."""

from __future__ import annotations

import math

import pytest
import torch

from unveil.networks.condition import KINDS
from unveil.networks.doubt import LEAST, MOST, DoubtNetwork, _activity, _paired, deviations, likelihood


@pytest.fixture(scope="module", params=[(), (1, 5)], ids=["pixels", "activity"])
def network(request: pytest.FixtureRequest) -> DoubtNetwork:
    torch.manual_seed(0)
    return DoubtNetwork(8, 4, request.param).eval()


def pair(height: int, width: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
    x0_hat = (y + 0.1 * torch.randn(y.shape, generator=generator)).clamp(-1, 1)
    return y, x0_hat, torch.rand(batch, len(KINDS), generator=generator)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 33)])
def test_any_size_and_bounded(network: DoubtNetwork, size: tuple[int, int]) -> None:
    local, light = network(*pair(*size, batch=2))
    assert local.shape == (2, 3, *size)
    assert light.shape == (2,)
    assert bool(((local >= LEAST) & (local <= MOST)).all())
    assert bool(((light >= LEAST) & (light <= MOST)).all())


def test_strips_agree_with_the_whole(network: DoubtNetwork) -> None:
    y, x0_hat, kinds = pair(210, 24)
    with torch.no_grad():
        whole, light = network(y, x0_hat, kinds)
    said, off = deviations(network, y[0], x0_hat[0], kinds[0], rows=32)
    assert torch.allclose(said, whole[0].exp(), atol=1e-6)
    assert off == pytest.approx(float(light[0].exp()), rel=1e-6)


def test_reach_is_what_an_answer_looks_away(network: DoubtNetwork) -> None:
    y, x0_hat, kinds = pair(2 * network.reach + 20, 8)
    moved = y.clone()
    moved[..., -4:, :] = 0.9
    with torch.no_grad():
        before, after = (network.local(v, x0_hat, kinds, network.places(y, x0_hat)) for v in (y, moved))
    differs = (before != after).any(dim=3)[0].any(dim=0).nonzero()
    first = int(differs.min())
    assert y.shape[-2] - 4 - network.reach <= first < y.shape[-2] - 4


def test_the_likelihood_is_laplaces_and_least_at_the_true_deviation() -> None:
    for std, error in ((0.3, 0.2), (0.05, 0.4)):
        wanted = math.log(std) + math.sqrt(2) * error / std
        assert float(likelihood(torch.tensor(std).log(), torch.tensor(error))) == pytest.approx(wanted, rel=1e-5)
    errors = torch.tensor([0.01, 0.03, 0.08])
    at = torch.log(math.sqrt(2) * errors.mean()).requires_grad_(True)
    likelihood(at, errors).mean().backward()
    assert float(at.grad) == pytest.approx(0.0, abs=1e-6)


def test_it_learns_the_deviation_of_the_errors_it_is_shown() -> None:
    torch.manual_seed(0)
    network = DoubtNetwork(8, 4)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(2)
    kinds = torch.zeros(4, len(KINDS))

    def pictures() -> torch.Tensor:
        return (
            (torch.rand(4, 1, 4, 4, generator=generator) - 0.5)
            .repeat_interleave(8, 2)
            .repeat_interleave(8, 3)
            .expand(-1, 3, -1, -1)
        )

    for _ in range(170):
        y = pictures()
        error = (torch.where(y > 0, 0.2, 0.02) * torch.randn(y.shape, generator=generator)).abs()
        optimiser.zero_grad()
        likelihood(network(y, y, kinds)[0], error).mean().backward()
        optimiser.step()
    y = pictures()
    with torch.no_grad():
        said = network(y, y, kinds)[0]
    assert float(said[y > 0.1].mean().exp()) == pytest.approx(0.2, rel=0.3)
    assert float(said[y < -0.1].mean().exp()) == pytest.approx(0.02, rel=0.5)


def test_steps_of_eight_bits_are_little_activity() -> None:
    """A ramp of one level in 32 pixels, rounded to 8 bits: its steps stand out by far less where half a step is quiet."""
    ramp = (torch.linspace(0.5, 0.53, 256) * 255).round() / 127.5 - 1
    y = ramp.expand(1, 3, 8, 256).contiguous()
    near, far = (_activity(_paired(y, y), 1, quiet)[0, 0].std() for quiet in (1e-3, 4e-3))
    assert far < 0.6 * near


def test_activity_is_counted_at_its_place() -> None:
    """A step of 0.4 between columns 7 and 8 in the restoration alone: its slope and the change, where they are, and the floor elsewhere."""
    y = torch.zeros(1, 3, 16, 24)
    x0_hat = y.clone()
    x0_hat[..., 8:] = 0.4
    slope_y, slope, change = _activity(_paired(y, x0_hat), 1, 1e-3)[0].expand(3, 8, 12)
    floor = (math.log(1e-3) + 4) / 2
    assert torch.allclose(slope_y, torch.full_like(slope_y, floor))
    assert torch.allclose(slope[:, [3, 5]], torch.tensor(floor))
    assert torch.allclose(
        slope[:, 4], torch.tensor((math.log(0.4 / 2 + 1e-3) + 4) / 2)
    )  # one column of the two of a place
    clipped = min(0.4, 2 / 8)
    assert torch.allclose(change[:, 4:], torch.tensor((math.log(clipped + 1e-3) + 4) / 2))
    assert torch.allclose(change[:, :4], torch.tensor(floor))


def test_half_precision_says_the_same_to_a_few_hundredths(network: DoubtNetwork) -> None:
    generator = torch.Generator().manual_seed(3)
    y, x0_hat = (torch.rand(3, 70, 54, generator=generator) * 2 - 1 for _ in range(2))
    kinds = torch.rand(7, generator=generator)
    (full, light), (half, same) = (
        deviations(network, y, x0_hat, kinds, dtype=t) for t in (torch.float32, torch.bfloat16)
    )
    assert half.dtype == torch.float32
    assert light == same
    assert float(((half - full).abs() / full).mean()) < 0.02
    assert not torch.equal(half, full)
