"""Numbers that belong to a sample of a step, whatever batch it is in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.degradation import KINDS, apply, mixture
from unveil.degradation.draws import SampleDraws, pick, rand, whole
from unveil.diffusion.noise import philox
from unveil.training.on_device import Counted

CPU, META = torch.device("cpu"), torch.device("meta")


def draws(samples: list[int] | range, *, seed: int = 5, step: int = 2, device: torch.device = CPU) -> Counted:
    return Counted(seed, step, samples, device)


def pictures(n: int, h: int = 40, w: int = 56) -> Tensor:
    coarse = torch.rand(n, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(h, w), mode="bicubic").clamp(0, 1)


def test_the_words_are_philox_of_place_sample_step_and_branch() -> None:
    seed = (7 << 32) + 11
    u = draws([3, 1 << 31], seed=seed, step=9).rand((2, 6), dtype=torch.float64)
    places, samples = torch.arange(2)[None], torch.tensor([3, 1 << 31])[:, None]
    words = torch.stack(philox((places, samples, 9, 0), (11, 7)), -1).flatten(1)[:, :6]
    assert torch.equal(u * 2.0**32, words.double())
    own = draws([3], seed=seed, step=9).branch(4).branch(0).rand((1, 4), dtype=torch.float64)
    words = torch.stack(philox((places[:, :1], samples[:1], 9, 5 * 31 + 1), (11, 7)), -1).flatten(1)
    assert torch.equal(own * 2.0**32, words.double())


def test_a_samples_numbers_are_its_own() -> None:
    shapes = [(3,), (2, 700), (1, 1, 1), (513,)]  # small ones, made in blocks, and large ones

    def sequence(of: SampleDraws, n: int) -> list[Tensor]:
        made = [of.rand((n, *shape)) for shape in shapes] + [of.randn((n, *shape)) for shape in shapes]
        return [*made, of.branch(1).rand((n, 2)), of.rand((n, 1), host=True)]

    for a, b, c in zip(
        sequence(draws([8, 2, 5]), 3),
        sequence(draws([5]), 1),
        sequence(draws(range(9)).of(torch.tensor([0, 8, 2, 5])).of(torch.tensor([1, 2, 3])), 3),
        strict=True,
    ):
        assert torch.equal(a[2:], b)
        assert torch.equal(a, c)


def test_some_samples_go_on_from_where_all_stood() -> None:
    of = draws(range(6))
    of.rand((6, 5))
    some = of.of(torch.tensor([4, 1]))
    assert torch.equal(some.rand((2, 3)), of.rand((6, 3))[[4, 1]])


def test_seed_step_sample_and_branch_each_give_other_numbers() -> None:
    made = [draws([0]), draws([0], seed=6), draws([0], seed=5 + (1 << 32)), draws([0], step=3), draws([1])]
    made += [draws([0]).branch(0), draws([0]).branch(1), draws([0]).branch(0).branch(0)]
    z = torch.cat([one.randn((1, 4096)) for one in made])
    assert (torch.corrcoef(z) - torch.eye(len(z))).abs().max() < 0.08  # five standard deviations


def test_numbers_are_uniform_and_normal() -> None:
    u, z = draws(range(50)).rand((50, 4000)), draws(range(50)).randn((50, 4001)).double()
    assert u.min() >= 0
    assert u.max() < 1
    assert u.dtype == torch.float32
    assert torch.histc(u, 10, 0, 1).sub(20_000).abs().max() < 5 * (200_000 * 0.09) ** 0.5
    n = z.numel()
    assert z.mean().abs() < 5 / n**0.5
    assert z.var() == pytest.approx(1, abs=5 * (2 / n) ** 0.5)
    assert whole((50, 2000), 8, draws(range(50))).unique().tolist() == list(range(8))


def test_picks_follow_their_odds_and_never_take_what_has_none() -> None:
    odds = torch.tensor([0.0, 3.0, 1.0, 0.0])
    n = 8000
    for given in (odds, odds.repeat(n, 1)):
        share = torch.bincount(pick(given, n, draws(range(n))), minlength=4) / n
        assert share[[0, 3]].tolist() == [0, 0]
        assert share[1] == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / n) ** 0.5)


def test_a_branch_has_a_number() -> None:
    with pytest.raises(ValueError, match="from 0 to 29"):
        draws([0]).branch(30)


@pytest.mark.parametrize("kind", list(KINDS))
def test_damage_in_a_batch_is_that_of_each_alone(kind: str) -> None:
    x, samples = pictures(6), [9, 4, 0, 7, 30, 2]
    y, _ = apply(kind, x, draws(samples))
    alone = [apply(kind, x[i : i + 1], draws([n]))[0] for i, n in enumerate(samples)]
    # The arithmetic may take another order: a last bit, and what the rounding to 8 bits makes of it.
    off = (y - torch.cat(alone)).abs()
    assert off.max() <= 2 / 255 + 1e-6
    assert (off > 1e-5).float().mean() < 1e-3
    assert not torch.equal(y, x)


def test_a_mixture_is_that_of_each_alone() -> None:
    x, weights = pictures(24), dict.fromkeys(KINDS, 1.0)
    y, kinds, _ = mixture(x, draws(range(24)), weights)
    alone = [mixture(x[i : i + 1], draws([i]), weights) for i in range(24)]
    assert kinds == [one[1][0] for one in alone]
    assert len(set(kinds)) > 8
    assert ((y - torch.cat([one[0] for one in alone])).abs() > 1e-5).float().mean() < 1e-3


@pytest.mark.parametrize("kind", list(KINDS))
def test_nothing_is_fetched_from_the_device(kind: str) -> None:
    """The meta device holds no numbers: whatever reads one, or decides by one, raises there."""
    y, _ = apply(kind, pictures(6).to(META), draws(range(6), device=META))
    assert (y.device, y.shape) == (META, (6, 3, 40, 56))
    assert rand((6, 2), draws(range(6), device=META), host=True).device == CPU
