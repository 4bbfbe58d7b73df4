from __future__ import annotations

from math import inf, isnan, nan

import numpy as np
import pytest

from unveil.evaluation.table import bootstrap_interval, compare, summarise

VALUES = np.random.default_rng(0).normal(30, 2, 60)


def test_the_interval_is_the_same_on_every_run_and_moves_with_the_seed() -> None:
    assert bootstrap_interval(VALUES, seed=3) == bootstrap_interval(list(VALUES), seed=3)
    assert bootstrap_interval(VALUES, seed=3) != bootstrap_interval(VALUES, seed=4)


def test_the_interval_agrees_with_the_normal_approximation() -> None:
    half = 1.96 * VALUES.std() / np.sqrt(len(VALUES))
    low, high = bootstrap_interval(VALUES)
    assert low == pytest.approx(VALUES.mean() - half, abs=0.05)
    assert high == pytest.approx(VALUES.mean() + half, abs=0.05)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_interval(rng.normal(0, 1, 30), seed=trial, resamples=1000)
        hits += low <= 0 <= high
    assert 0.89 < hits / 300 < 0.98


def test_memory_stays_bounded_without_changing_the_kind_of_result() -> None:
    low, high = bootstrap_interval(np.tile(VALUES, 500), resamples=200)
    assert VALUES.mean() - 0.1 < low < VALUES.mean() < high < VALUES.mean() + 0.1


def test_summary_of_ordinary_values() -> None:
    summary = summarise(VALUES.tolist())
    assert summary.n == 60
    assert summary.mean == pytest.approx(VALUES.mean(), abs=1e-12)
    assert summary.std == pytest.approx(VALUES.std(ddof=1), abs=1e-12)
    assert summary.median == pytest.approx(np.median(VALUES), abs=1e-12)
    assert summary.low < summary.mean < summary.high


def test_infinite_values_are_shown_as_such() -> None:
    summary = summarise([20.0, inf, 30.0, inf])
    assert (summary.mean, summary.infinite, summary.finite_mean) == (inf, 2, 25.0)
    assert isnan(summary.low)
    assert summary.median == inf


def test_undefined_values_are_counted_and_left_out() -> None:
    summary = summarise([1.0, nan, 3.0])
    assert (summary.n, summary.mean, summary.undefined) == (2, 2.0, 1)
    assert summarise([nan]).n == 0
    assert isnan(summarise([]).mean)


def test_one_value_has_no_interval_and_no_spread() -> None:
    summary = summarise([5.0])
    assert summary.mean == summary.median == 5.0
    assert isnan(summary.low)
    assert isnan(summary.std)


def test_paired_comparison_sees_what_two_means_do_not() -> None:
    rng = np.random.default_rng(2)
    second = rng.normal(30, 5, 40)
    first = second + rng.normal(0.3, 0.1, 40)
    result = compare("psnr", first.tolist(), second.tolist(), higher_is_better=True)
    assert result.decided
    assert result.difference.mean == pytest.approx(0.3, abs=0.05)
    assert result.wins > 36
    one, two = summarise(first.tolist()), summarise(second.tolist())
    assert one.low < two.high, "unpaired intervals overlap"


def test_wins_follow_the_better_side_and_ties_are_ties() -> None:
    result = compare("lpips", [0.1, 0.3, 0.2, nan], [0.2, 0.2, 0.2, 0.1], higher_is_better=False)
    assert (result.wins, result.losses, result.ties, result.difference.n) == (1, 1, 1, 3)
    perfect = compare("psnr", [inf, 30.0], [inf, 31.0], higher_is_better=True)
    assert (perfect.ties, perfect.losses, perfect.difference.mean) == (1, 1, -0.5)
    assert not compare("psnr", [inf, 30.0], [20.0, 31.0], higher_is_better=True).decided


def test_infinite_differences_keep_their_sign() -> None:
    assert compare("psnr", [30, 31], [inf, 31], higher_is_better=True).difference.mean == -inf
    assert compare("psnr", [inf, 31], [30, 31], higher_is_better=True).difference.mean == inf
    assert isnan(compare("psnr", [30, inf], [inf, 31], higher_is_better=True).difference.mean)
