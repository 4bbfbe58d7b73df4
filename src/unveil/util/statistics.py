"""Statistics in closed form: Spearman's rank correlation, and Student's t distribution for whole degrees of freedom."""

from __future__ import annotations

from math import nan, pi, sqrt
from typing import Any, overload

import numpy as np

from unveil.errors import InputError


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1..n of values (n,), equal values sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def spearman(first: Any, second: Any) -> float:
    """Rank correlation of two arrays of equal size (flattened), in [-1, 1]; NaN where one of them is constant.

    The product-moment correlation of the average ranks (Spearman 1904), so ties are allowed. Raises InputError for sizes that
    differ, or NaN in either.
    """
    a, b = (np.asarray(v, dtype=np.float64).ravel() for v in (first, second))
    if a.size != b.size or a.size == 0:
        raise InputError(
            f"rank correlation needs two arrays of one size with values in them; got {a.size} and {b.size}"
        )
    if np.isnan(a).any() or np.isnan(b).any():
        raise InputError("rank correlation of NaN is undefined")
    a, b = (r - r.mean() for r in (average_ranks(a), average_ranks(b)))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else nan


# cos(theta)**k vanishes slowly for many draws; beyond this the normal distribution is within 1e-4 anyway, and the sum still short.
MOST_DEGREES = 2_000


@overload
def central_probability(t: float, degrees: int) -> float: ...
@overload
def central_probability(t: np.ndarray, degrees: int) -> np.ndarray: ...
def central_probability(t: float | np.ndarray, degrees: int) -> float | np.ndarray:
    """P(|T| <= t) for t >= 0 (any shape, infinity allowed), T of Student's distribution with `degrees` degrees of freedom.

    Abramowitz and Stegun 1964, eqs. 26.7.3 and 26.7.4; exact but for rounding. Raises InputError for degrees outside 1..2000.
    """
    if not 1 <= degrees <= MOST_DEGREES:
        raise InputError(f"degrees of freedom {degrees} must lie between 1 and {MOST_DEGREES}")
    theta = np.arctan(np.asarray(t, dtype=np.float64) / sqrt(degrees))
    sine, cosine = np.sin(theta), np.cos(theta)
    odd = degrees % 2
    term = cosine if odd else np.ones_like(theta)
    total = np.zeros_like(theta)
    for k in range(1 if odd else 2, degrees + 1 - odd, 2):
        total = total + term
        term = term * cosine**2 * ((k + 1) / (k + 2) if odd else (k - 1) / k)
    found = 2 / pi * (theta + sine * total) if odd else sine * total
    return float(found) if np.ndim(t) == 0 else found


def central_quantile(level: float, degrees: int) -> float:
    """The t with P(|T| <= t) = level, by bisection to the last bit. Raises InputError for a level outside (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"level {level} must lie between 0 and 1")
    low, high = 0.0, 1.0
    while central_probability(high, degrees) < level:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if central_probability(middle, degrees) < level else (low, middle)
    return high
