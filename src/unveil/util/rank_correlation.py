"""Spearman's rank correlation: whether the places with the larger standard deviation are the places with the larger error."""

from __future__ import annotations

from math import nan
from typing import Any

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
