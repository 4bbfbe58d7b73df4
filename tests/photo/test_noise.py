from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unveil.errors import UnveilError
from unveil.photo import tiles
from unveil.photo.tiles import noise_field as field


@settings(max_examples=40, deadline=None)
@given(
    top=st.integers(0, 150),
    left=st.integers(0, 150),
    height=st.integers(1, 100),
    width=st.integers(1, 100),
    seed=st.integers(-5, 2**70),
)
def test_any_window_is_a_crop_of_the_whole(top: int, left: int, height: int, width: int, seed: int) -> None:
    whole = field(seed, 3, 0, 0, 256, 256, 3)
    part = field(seed, 3, top, left, height, width, 3)
    assert part.dtype == torch.float32
    assert torch.equal(part, whole[:, top : top + height, left : left + width])


def test_tiles_in_any_order_give_the_same_field() -> None:
    whole = field(1, 0, 0, 0, 130, 200, 3)
    built = torch.full_like(whole, torch.nan)
    for tile in reversed(tiles.plan(130, 200, 64, 16)):
        built[:, tile.window[0], tile.window[1]] = field(1, 0, tile.top, tile.left, tile.height, tile.width, 3)
    assert torch.equal(built, whole)


def test_channels_do_not_depend_on_how_many_follow() -> None:
    assert torch.equal(field(1, 2, 10, 20, 30, 40, 4)[:3], field(1, 2, 10, 20, 30, 40, 3))
    assert torch.equal(field(1, 2, 10, 20, 30, 40, 3)[:1], field(1, 2, 10, 20, 30, 40, 1))


def test_threads_do_not_matter() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = field(1, 2, 0, 0, 100, 100, 3)
        torch.set_num_threads(2)
        assert torch.equal(field(1, 2, 0, 0, 100, 100, 3), one)
    finally:
        torch.set_num_threads(before)


def test_it_is_standard_normal() -> None:
    """Two million values: mean, variance, kurtosis within four standard errors, the whole distribution by Kolmogorov and Smirnov."""
    x = field(7, 1, 0, 0, 832, 832, 3).numpy().astype(np.float64).ravel()
    n = x.size
    assert abs(x.mean()) < 4 / np.sqrt(n)
    assert abs(x.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(x)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(x)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(x[:: n // 100_000], "norm").pvalue > 1e-3
    assert 4.5 < np.abs(x).max() < 6.7


def test_neighbours_channels_steps_seeds_and_blocks_are_independent() -> None:
    x = field(7, 1, 0, 0, 512, 512, 3).numpy()
    n = x[0].size
    others = [
        x[0], x[1], np.roll(x[0], 1, 0), np.roll(x[0], 1, 1), np.roll(x[0], 64, 0), np.roll(x[0], 64, 1), np.roll(x[0], (32, 0), (0, 1)),
        field(7, 2, 0, 0, 512, 512, 1).numpy()[0], field(8, 1, 0, 0, 512, 512, 1).numpy()[0], field(1, 7, 0, 0, 512, 512, 1).numpy()[0],
        field(7 + 2**32, 1, 0, 0, 512, 512, 1).numpy()[0],
    ]  # fmt: skip
    for i, a in enumerate(others):
        for b in others[i + 1 :]:
            assert abs((a * b).mean()) < 5 / np.sqrt(n)
            # The two halves of a Box-Muller pair share a radius: their squares must not be correlated either.
            assert abs(((a**2 - 1) * (b**2 - 1)).mean()) < 5 * 2 / np.sqrt(n)


KNOWN = [-2.1850287914276123, -1.7627428770065308, 0.8913605809211731, 0.7250250577926636]


def test_values_are_fixed() -> None:
    """The same seed must give the same photograph in every version; these values were computed once."""
    known = field(2026, 4, 1000, 2000, 1, 4, 1).numpy().ravel()
    np.testing.assert_allclose(known, KNOWN, rtol=0, atol=2e-6)


@pytest.mark.parametrize("window", [(-1, 0, 4, 4, 3), (0, -1, 4, 4, 3), (0, 0, 0, 4, 3), (0, 0, 4, 4, 0)])
def test_windows_that_are_none(window: tuple[int, ...]) -> None:
    with pytest.raises(UnveilError, match="no noise for"):
        field(0, 0, *window)
    with pytest.raises(UnveilError, match="step -1"):
        field(0, -1, 0, 0, 1, 1, 1)
