from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from scipy import stats

from unveil.errors import InputError
from unveil.util.statistics import average_ranks, spearman


def test_any_rising_function_correlates_fully() -> None:
    x = np.random.default_rng(0).random(50)
    assert spearman(x, np.exp(5 * x)) == pytest.approx(1.0, abs=1e-12)
    assert spearman(x, -(x**3)) == pytest.approx(-1.0, abs=1e-12)


def test_ties_share_their_rank_as_in_scipy() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.integers(0, 5, 80), generator.integers(0, 7, 80)
    np.testing.assert_array_equal(average_ranks(a), stats.rankdata(a))
    assert spearman(a, b) == pytest.approx(float(stats.spearmanr(a, b).statistic), abs=1e-12)


def test_four_values_by_hand() -> None:
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = (1, 1, 0, 0)
    assert spearman([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15), abs=1e-12)


def test_a_constant_has_no_rank_correlation() -> None:
    assert isnan(spearman(np.zeros(4), np.arange(4)))


def test_sizes_that_differ_and_nan_are_refused() -> None:
    with pytest.raises(InputError, match="3 and 4"):
        spearman(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="NaN"):
        spearman([np.nan, 1.0], [0.0, 1.0])
