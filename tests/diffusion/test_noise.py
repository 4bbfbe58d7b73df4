from __future__ import annotations

import pytest
import torch

from unveil.diffusion.noise import seeded
from unveil.errors import InputError

LIKE = torch.zeros(3, 3, 5, 7)


def test_a_draw_belongs_to_its_seed_and_index_alone() -> None:
    together = seeded([5, 8, 13])
    late, early = together(2, LIKE), together(0, LIKE)
    assert torch.equal(early, seeded([5, 8, 13])(0, LIKE))
    for i, seed in enumerate((5, 8, 13)):
        assert torch.equal(late[i : i + 1], seeded([seed])(2, LIKE[:1]))
    assert torch.equal(late.flip(0), seeded([13, 8, 5])(2, LIKE))


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    state = torch.random.get_rng_state()
    first = seeded([1, 2, 3])(0, LIKE)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(4)
    assert torch.equal(first, seeded([1, 2, 3])(0, LIKE))


def test_draws_differ_between_seeds_and_indices() -> None:
    draws = torch.cat([seeded(range(40))(k, torch.zeros(40, 1, 16, 16)) for k in range(10)]).flatten(1)
    correlation = torch.corrcoef(draws)
    correlation.fill_diagonal_(0)
    # 256 values: a correlation has standard deviation 1/16; among 79,800 pairs none is beyond six of them.
    assert correlation.abs().max() < 6 / 16


def test_draws_are_standard_normal() -> None:
    values = seeded(range(100))(1, torch.zeros(100, 1, 32, 32)).double().flatten()
    count = len(values)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((values**power).mean()) - moment) < 4 * (variance / count) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_type_follows_the_state_and_the_numbers_do_not(dtype: torch.dtype) -> None:
    draw = seeded([4])(0, LIKE[:1].to(dtype))
    assert draw.dtype == dtype
    assert torch.equal(draw, seeded([4])(0, LIKE[:1]).to(dtype))


@pytest.mark.parametrize("seeds", [[1], [1, 2], [1, 2, 3, 4]])
def test_as_many_seeds_as_samples(seeds: list[int]) -> None:
    with pytest.raises(InputError, match=f"batch of 3 samples needs as many seeds, got {len(seeds)}"):
        seeded(seeds)(0, LIKE)
