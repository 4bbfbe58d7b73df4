from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from unveil.errors import InputError
from unveil.util.statistics import central_probability, central_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 8, 18, 63, 500])
def test_probability_is_scipys(degrees: int) -> None:
    t = np.array([0.0, 0.01, 0.5, 1.0, 1.895, 3.0, 12.0, 1e3])
    np.testing.assert_allclose(central_probability(t, degrees), 1 - 2 * stats.t.sf(t, degrees), rtol=0, atol=1e-12)


def test_infinity_is_certain() -> None:
    assert central_probability(np.inf, 7) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(("level", "degrees"), [(0.5, 1), (0.9, 7), (0.95, 7), (0.99, 3), (0.8, 40)])
def test_quantile_is_scipys(level: float, degrees: int) -> None:
    assert central_quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=1e-10)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="level 1"):
        central_quantile(1.0, 7)
    with pytest.raises(InputError, match="degrees of freedom 0"):
        central_probability(1.0, 0)
