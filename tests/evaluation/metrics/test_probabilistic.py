from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.errors import InputError
from unveil.evaluation.metrics.probabilistic import central_interval, coverage, crps, ensemble_coverage


@pytest.mark.parametrize("fair", [True, False])
def test_crps_equals_the_double_sum(fair: bool) -> None:
    rng = np.random.default_rng(5)
    draws, truth = rng.normal(size=(7, 4, 5)), rng.normal(size=(4, 5))
    spread = np.abs(draws[:, None] - draws[None]).sum(axis=(0, 1)) / (2 * (42 if fair else 49))
    expected = np.abs(draws - truth).mean(axis=0) - spread
    assert np.abs(crps(draws, truth, fair=fair) - expected).max() < 1e-14
    assert np.abs(crps(torch.from_numpy(draws), torch.from_numpy(truth), fair=fair) - expected).max() < 1e-14


def test_crps_approaches_its_closed_form_for_a_normal_law() -> None:
    # Gneiting and Raftery 2007, eq. 20, at z = 0.5.
    z, count = 0.5, 4000
    density, distribution = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), 0.6914624612740131
    exact = z * (2 * distribution - 1) + 2 * density - 1 / np.sqrt(np.pi)
    draws = np.random.default_rng(6).normal(size=(count, 200))
    estimates = crps(draws, np.full(200, z))
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / np.sqrt(200)


def test_only_the_fair_form_does_not_depend_on_the_number_of_draws() -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(size=200_000)
    few, many = rng.normal(size=(2, 200_000)), rng.normal(size=(10, 200_000))
    error = 4 * crps(few, truth).std() / np.sqrt(len(truth))
    assert abs(crps(few, truth).mean() - crps(many, truth).mean()) < error
    assert crps(few, truth, fair=False).mean() - crps(many, truth, fair=False).mean() > 10 * error


def test_one_draw_has_its_absolute_error_and_no_fair_score() -> None:
    assert crps(np.array([[0.25]]), np.array([1.0]), fair=False).tolist() == [0.75]
    with pytest.raises(InputError, match="two draws or more"):
        crps(np.array([[0.25]]), np.array([1.0]))


@pytest.mark.parametrize("count", [19, 40])
def test_intervals_of_exchangeable_draws_cover_their_level(count: int) -> None:
    """Truth and draws from one law, skewed on purpose: coverage is right for any law, not only a normal one."""
    rng = np.random.default_rng(8)
    size = 40_000
    draws, truth = rng.exponential(size=(count, size)), rng.exponential(size=size)
    for level, covered in ensemble_coverage(draws, truth, (0.5, 0.8, 0.9)).items():
        assert covered == pytest.approx(level, abs=0.004 + 4 * np.sqrt(level * (1 - level) / size))


def test_an_ensemble_that_is_too_narrow_is_found_out() -> None:
    rng = np.random.default_rng(9)
    covered = ensemble_coverage(rng.normal(size=(39, 5000)) / 2, rng.normal(size=5000), (0.9,))
    assert covered[0.9] < 0.65


def test_the_interval_of_nineteen_draws_at_ninety_per_cent_is_their_range() -> None:
    draws = np.random.default_rng(10).normal(size=(19, 3))
    low, high = central_interval(draws, 0.9)
    assert np.array_equal(low, draws.min(axis=0))
    assert np.array_equal(high, draws.max(axis=0))


def test_a_level_that_few_draws_cannot_reach_is_refused_with_the_number_needed() -> None:
    with pytest.raises(InputError, match=r"8 draws cannot bound a 90% interval; draw at least 19"):
        central_interval(np.zeros((8, 2)), 0.9)
    central_interval(np.zeros((19, 2)), 0.9)
    with pytest.raises(InputError, match="between 0 and 1"):
        central_interval(np.zeros((8, 2)), 1.0)


def test_coverage_counts_the_ends() -> None:
    assert coverage([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0.5, 1.1]) == 0.75


def test_shapes_and_nan_are_refused() -> None:
    with pytest.raises(InputError, match="draws in front"):
        crps(np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(InputError, match="one shape"):
        coverage([0], [1], [0, 1])
    with pytest.raises(InputError, match="NaN"):
        crps(np.full((4, 3), np.nan), np.zeros(3))
