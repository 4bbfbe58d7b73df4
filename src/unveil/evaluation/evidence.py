"""What one photograph with a known target says about the draws: a random subsample of its values, and its patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, as_numpy
from unveil.evaluation.metrics.probabilistic import crps, gaussian_crps
from unveil.util.statistics import MOST_DEGREES, spearman

PIXELS = 2048
PATCH = 16
# A target rounded to 8 bit differs from the scene by an error that is uniform over one level.
ROUNDING = 1 / 255 / sqrt(12)


@dataclass(frozen=True)
class Evidence:
    """samples: (K, n) draws at n chosen values, truth: (n,) their targets, in [0, 1]. patch_error, patch_std: (P,) mean |error| of the
    draws' mean and mean standard deviation of the patches. rounding: standard deviation of the target's own rounding. stated: (n,)
    standard deviation that the model estimates itself, in place of its draws', of which there is then one.
    """

    samples: np.ndarray
    truth: np.ndarray
    patch_error: np.ndarray
    patch_std: np.ndarray
    rounding: float = ROUNDING
    stated: np.ndarray | None = None

    @property
    def draws(self) -> int:
        """K."""
        return len(self.samples)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the standard deviation: K - 1, or so many that Student's distribution is a Gaussian where it is stated."""
        return self.draws - 1 if self.stated is None else MOST_DEGREES

    @property
    def widening(self) -> float:
        """By how much the next draw is less sure than the mean of K draws is: sqrt(1 + 1 / K), nothing where the error itself is stated."""
        return sqrt(1 + 1 / self.draws) if self.stated is None else 1.0

    @property
    def spread(self) -> np.ndarray:
        """(n,) the draws' standard deviation, or the stated one."""
        return self.samples.std(axis=0, ddof=1) if self.stated is None else self.stated

    def restated(self, std: np.ndarray) -> Evidence:
        """The same with another stated standard deviation (n,); those of the patches follow it on average."""
        factor = float(np.mean(std)) / max(float(np.mean(self.spread)), 1e-12)
        return replace(self, stated=std, patch_std=factor * self.patch_std)

    def stretched(self, factor: float) -> np.ndarray:
        """(K, n): the draws with their distance to their mean multiplied."""
        mean = self.samples.mean(axis=0)
        return mean + factor * (self.samples - mean)

    def error(self) -> np.ndarray:
        """(n,) |truth - mean of the draws|."""
        return np.abs(self.truth - self.samples.mean(axis=0))

    def std(self, factor: float = 1.0) -> np.ndarray:
        """(n,) standard deviation of what is predicted for the (rounded) target, the draws' being stretched by `factor`."""
        return np.hypot(factor * self.spread, self.rounding)

    def scores(self) -> np.ndarray:
        """(n,) error / std: 0 where both are zero, infinite where only the std is."""
        error, std = self.error(), self.std()
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(error == 0, 0.0, error / std)

    def crps(self, factor: float = 1.0) -> float:
        """Mean CRPS of the stretched draws (fair estimator), or of the stated Gaussian, full range = 1."""
        if self.stated is not None:
            return float(gaussian_crps(self.error(), self.std(factor)).mean())
        return float(crps(self.stretched(factor), self.truth).mean())

    def pixel_correlation(self) -> float:
        """Spearman correlation of error and std over the chosen values; NaN where one is constant."""
        return spearman(self.error(), self.std())

    def patch_correlation(self) -> float:
        """The same over the patches."""
        return spearman(self.patch_error, self.patch_std) if self.patch_error.size else float("nan")


def gather(
    samples: Any,
    target: Any,
    *,
    pixels: int = PIXELS,
    patch: int = PATCH,
    rounding: float = ROUNDING,
    seed: int = 0,
) -> Evidence:
    """The `Evidence` of K draws (K, H, W[, C]) for a target (H, W[, C]), all in [0, 1] (uint8 is divided by 255).

    pixels: how many pixels are chosen at random (all channels of each; all pixels where there are fewer). patch: side of the
    patches, those that do not fit are left out. rounding: 0 for a target that was never rounded.
    Raises InputError for fewer than two draws, shapes that do not fit, NaN, or values outside the range.
    """
    truth = as_image(target, name="target")
    draws = as_numpy(samples)
    if draws.ndim < 3 or len(draws) < 2:
        raise InputError(f"calibration needs two draws or more, (K, H, W) or (K, H, W, C); got {draws.shape}")
    draws = np.stack([as_image(d, name=f"draw {k}") for k, d in enumerate(draws)])
    if draws.shape[1:] != truth.shape:
        raise InputError(f"draws {draws.shape} must be the target's shape {truth.shape} with the draws in front")
    count = truth.shape[0] * truth.shape[1]
    chosen = np.random.default_rng(seed).permutation(count)[:pixels]
    error, std = np.abs(truth - draws.mean(axis=0)), np.hypot(draws.std(axis=0, ddof=1), rounding)
    return Evidence(
        draws.reshape(len(draws), count, -1)[:, chosen].reshape(len(draws), -1),
        truth.reshape(count, -1)[chosen].ravel(),
        _patches(error, patch),
        _patches(std, patch),
        rounding,
    )


def gather_stated(
    image: Any,
    std: Any,
    target: Any,
    *,
    rounding: float = ROUNDING,
    seed: int = 0,
) -> Evidence:
    """The `Evidence` of one restoration that comes with its own standard deviation, `std` (H, W, C), full range = 1.

    The other arguments are those of `gather`. Raises InputError for shapes that do not fit, NaN, or images outside the range.
    """
    truth, restored, stated_std = as_image(target, name="target"), as_image(image, name="image"), as_numpy(std)
    if not truth.shape == restored.shape == stated_std.shape:
        raise InputError(f"image {restored.shape}, std {stated_std.shape} and target {truth.shape} must have one shape")
    count = truth.shape[0] * truth.shape[1]
    chosen = np.random.default_rng(seed).permutation(count)[:PIXELS]
    values = [a.reshape(count, -1)[chosen].ravel() for a in (restored, truth, stated_std)]
    return Evidence(
        values[0][None],
        values[1],
        _patches(np.abs(truth - restored), PATCH),
        _patches(np.hypot(stated_std, rounding), PATCH),
        rounding,
        values[2],
    )


def _patches(values: np.ndarray, side: int) -> np.ndarray:
    """(P,) means over the patches of `side` pixels of (H, W[, C])."""
    grey = values if values.ndim == 2 else values.mean(axis=2)
    rows, columns = (n // side for n in grey.shape)
    return grey[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3)).ravel()
