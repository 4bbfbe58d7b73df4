"""Scores of a whole posterior sample: the continuous ranked probability score, and the coverage of central intervals."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt
from typing import Any

import numpy as np
import torch

from unveil.errors import InputError
from unveil.evaluation.arrays import as_numpy


def _as_draws(samples: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    draws, truth = as_numpy(samples).astype(np.float64), as_numpy(target).astype(np.float64)
    if draws.ndim != truth.ndim + 1 or draws.shape[1:] != truth.shape:
        raise InputError(f"samples {draws.shape} must be the target's shape {truth.shape} with the draws in front")
    if not (np.isfinite(draws).all() and np.isfinite(truth).all()):
        raise InputError("samples or target hold NaN or infinite values; they cannot be scored")
    return draws, truth


def crps(samples: Any, target: Any, *, fair: bool = True) -> np.ndarray:
    """Continuous ranked probability score of an ensemble at every pixel; lower is better, in the units of the image.

    samples: (K, ...), K draws; target: (...). Returns (...). The estimator is E|X - y| - E|X - X'| / 2 (Gneiting and Raftery 2007,
    eq. 21) with E|X - X'| over all K^2 pairs, or with `fair` over the K (K - 1) pairs of different draws: then its expectation
    does not depend on K (Ferro 2014), so methods with different K can be compared. For one draw only `fair=False` exists, where it
    is the absolute error. Raises InputError for shapes that do not fit, NaN, or `fair` with one draw.
    """
    draws, truth = _as_draws(samples, target)
    count = draws.shape[0]
    if count < 1 or (fair and count < 2):
        raise InputError(
            f"{'fair ' if fair else ''}CRPS needs {'two draws or more' if fair else 'a draw'}; got {count}"
        )
    distance = np.abs(draws - truth).mean(axis=0)
    # Sum over all pairs of |x_i - x_j| from the sorted draws: 2 sum_k (2 k - K - 1) x_(k), k = 1..K.
    rank = (2 * np.arange(1, count + 1) - count - 1).reshape((count,) + (1,) * truth.ndim)
    pairs = 2 * (rank * np.sort(draws, axis=0)).sum(axis=0)
    return distance - pairs / (2 * count * (count - 1 if fair else count))


def gaussian_crps(error: Any, std: Any) -> np.ndarray:
    """Continuous ranked probability score of a Gaussian at every pixel, in the units of the image; lower is better.

    error: target minus mean, of either sign; std: of the same shape, at least 0. With z = error / std it is std (z (2 Phi(z) - 1) + 2
    phi(z) - 1 / sqrt(pi)) (Gneiting and Raftery 2007, eq. 5), and |error| where std is 0.
    """
    off, wide = torch.as_tensor(as_numpy(error)).double().abs(), torch.as_tensor(as_numpy(std)).double()
    z = off / wide.clamp_min(1e-12)
    density = torch.exp(-0.5 * z**2) / sqrt(2 * pi)
    score = wide * (z * (2 * torch.special.ndtr(z) - 1) + 2 * density - 1 / sqrt(pi))
    return torch.where(wide > 0, score, off).numpy()


def central_interval(samples: Any, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end (...) of the central `level` interval of K draws (K, ...).

    Quantiles of type 6 (Weibull, position p (K + 1)): if the truth is one more draw from the same distribution, it falls between two
    order statistics r < s with probability (s - r) / (K + 1), so these intervals cover `level` and not less.
    Raises InputError for a level outside (0, 1), or one that K draws cannot reach: above (K - 1) / (K + 1).
    """
    draws = as_numpy(samples).astype(np.float64)
    count = draws.shape[0]
    if not 0 < level < 1:
        raise InputError(f"level {level} must lie between 0 and 1")
    if level > (count - 1) / (count + 1) + 1e-12:
        needed = int(np.ceil((1 + level) / (1 - level) - 1e-9))
        raise InputError(f"{count} draws cannot bound a {level:.0%} interval; draw at least {needed}")
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return lower, upper


def coverage(lower: Any, upper: Any, target: Any) -> float:
    """Share of the target (...) that lies inside [lower, upper], ends included; each (...) of equal shape."""
    low, high, truth = (as_numpy(x).astype(np.float64) for x in (lower, upper, target))
    if not low.shape == high.shape == truth.shape:
        raise InputError(f"lower {low.shape}, upper {high.shape} and target {truth.shape} must have one shape")
    return float(((low <= truth) & (truth <= high)).mean())


def ensemble_coverage(samples: Any, target: Any, levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95)) -> dict[float, float]:
    """Coverage of the central intervals of K draws (K, ...) at each level; a calibrated ensemble gives each level back.

    Raises InputError for shapes that do not fit, NaN, or levels that K draws cannot reach.
    """
    draws, truth = _as_draws(samples, target)
    return {level: coverage(*central_interval(draws, level), truth) for level in levels}
