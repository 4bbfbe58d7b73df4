"""Means with their uncertainty: spread, and bootstrap intervals that are the same on every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan, nan

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Statistics of one metric over n images.

    mean, std (with n - 1), median; low, high: bootstrap interval of the mean at `level`, NaN where there is none (fewer than two
    values, or an infinite one). infinite: how many values are infinite (PSNR of equal images); the mean is then infinite, and
    `finite_mean` is over the others. undefined: values that do not exist (NaN), left out of everything.
    """

    n: int
    mean: float
    std: float
    median: float
    low: float
    high: float
    level: float = LEVEL
    infinite: int = 0
    finite_mean: float = nan
    undefined: int = 0


def summarise(values: Sequence[float], *, seed: int = 0, level: float = LEVEL) -> Summary:
    """The `Summary` of a metric's values over images. Same values and seed, same summary."""
    known = np.array([v for v in values if not isnan(v)], dtype=np.float64)
    undefined = len(values) - len(known)
    if not len(known):
        return Summary(0, nan, nan, nan, nan, nan, level, 0, nan, undefined)
    finite = known[np.isfinite(known)]
    infinite = len(known) - len(finite)
    finite_mean = float(finite.mean()) if len(finite) else nan
    median = float(np.sort(known)[(len(known) - 1) // 2 : len(known) // 2 + 1].mean())
    if infinite:
        return Summary(len(known), inf, nan, median, nan, nan, level, infinite, finite_mean, undefined)
    low, high = bootstrap_interval(finite, seed=seed, level=level)
    std = float(finite.std(ddof=1)) if len(finite) > 1 else nan
    return Summary(len(known), finite_mean, std, median, low, high, level, 0, finite_mean, undefined)


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, *, seed: int = 0, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979): quantiles of the means of `resamples` draws with replacement.

    (NaN, NaN) for fewer than two values. It says how far the mean would move with other images of the same kind, no more.
    """
    data = np.asarray(values, dtype=np.float64)
    if len(data) < 2:
        return nan, nan
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, 2_000_000 // len(data))  # bounds the memory of the index table
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        means[start:stop] = data[generator.integers(0, len(data), (stop - start, len(data)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same images. difference: the Summary of first minus second; wins, losses, ties: of the first, by image."""

    metric: str
    difference: Summary
    wins: int
    losses: int
    ties: int

    @property
    def decided(self) -> bool:
        """Whether the interval of the mean difference leaves out zero."""
        return self.difference.low > 0 or self.difference.high < 0


def compare(
    metric: str, first: Sequence[float], second: Sequence[float], *, higher_is_better: bool, seed: int = 0
) -> Comparison:
    """Paired comparison of one metric's values on the same images in the same order; two infinite values differ by 0."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if not (isnan(a) or isnan(b))]
    differences = [0.0 if a == b else a - b for a, b in pairs]
    better = [d if higher_is_better else -d for d in differences]
    return Comparison(
        metric,
        summarise(differences, seed=seed),
        wins=sum(d > 0 for d in better),
        losses=sum(d < 0 for d in better),
        ties=sum(d == 0 for d in better),
    )
