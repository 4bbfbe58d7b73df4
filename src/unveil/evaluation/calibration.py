"""Are the draws as wide as the errors are? Measured by coverage, CRPS and rank correlation; put right by a factor kept with the model.

The conformal factors say how far the standard deviation must be stretched, with what is then guaranteed. The unit is the photograph:
its pixels depend on each other, so only photographs are exchangeable. A score is |truth - mean| / std of one pixel value; every
calibration photograph gives a row of scores. The guarantees hold for a new photograph that is exchangeable with the calibration
photographs (drawn from the same source in the same way), under the same sampler and number of draws, whatever the model and whatever
the distribution of errors; they are averages over the draw of the calibration photographs too. They say nothing of photographs from
elsewhere, nor of one chosen pixel or region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, nan, sqrt
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.evidence import Evidence
from unveil.evaluation.metrics.probabilistic import ensemble_coverage
from unveil.models.calibration import TARGET, Calibration
from unveil.util.statistics import central_probability, central_quantile, spearman


def _check(scores: Sequence[np.ndarray], level: float, fewest: int, what: str) -> None:
    if not 0 < level < 1:
        raise InputError(f"level {level} must lie between 0 and 1")
    if len(scores) < fewest:
        raise InputError(
            f"{len(scores)} calibration photographs cannot guarantee {what} {level:.0%}; give at least {fewest}"
        )


def fewest_photographs(level: float) -> int:
    """How many calibration photographs a guarantee at `level` takes: the smallest n with n / (n + 1) >= level."""
    return max(1, ceil(level / (1 - level) - 1e-9))


def pixel_factor(scores: Sequence[np.ndarray], level: float) -> float:
    """The factor q for which mean +- q std holds, in expectation, a share of at least `level` of a new photograph's pixel values.

    scores: for each of n photographs its scores (m,). Conformal risk control (Angelopoulos et al. 2022, eq. 4) with the share of
    values outside as the risk, at most 1: the smallest q with (n / (n + 1)) mean share outside + 1 / (n + 1) <= 1 - level. Rows that
    are random subsamples of a photograph's pixels give the same guarantee for all its pixels: the expected share is the same.
    Infinite where scores are (std of zero beside an error) and too many of them. Raises InputError for too few photographs.
    """
    _check(scores, level, fewest_photographs(level), "a pixel coverage of")
    n = len(scores)
    allowed = (1 - level) * (n + 1) / n - 1 / n  # mean share outside
    values = np.concatenate([np.asarray(s, dtype=np.float64).ravel() for s in scores])
    weights = np.concatenate([np.full(np.size(s), 1 / (n * np.size(s))) for s in scores])
    order = np.argsort(values, kind="stable")
    after = weights[order][::-1].cumsum()[::-1]
    # Share strictly above the k-th smallest score, ties apart; exactly 0 for the last.
    outside = np.append(after[1:], 0.0)
    return float(values[order][int(np.argmax(outside <= allowed + 1e-9))])


def photograph_factor(scores: Sequence[np.ndarray], level: float, confidence: float) -> float:
    """The factor q for which, with probability at least `confidence`, a new photograph has a share of at least `level` of its pixel
    values inside mean +- q std.

    scores: for each of n photographs its scores (m,). A photograph's own score is the `level` quantile of its row (the
    ceil(level m)-th smallest); q is the ceil((n + 1) confidence)-th smallest of these n (Papadopoulos et al. 2002; Lei et al. 2018,
    theorem 2.2). With no ties the probability is also at most confidence + 1 / (n + 1). Where rows are random subsamples, the share
    is that of an equally large random subsample of the new photograph. Raises InputError for too few photographs.
    """
    _check(scores, level, fewest_photographs(confidence), f"with confidence {confidence:.0%} a share of")
    own = []
    for row in scores:
        ordered = np.sort(np.asarray(row, dtype=np.float64), axis=None)
        own.append(ordered[min(len(ordered), ceil(level * len(ordered) - 1e-9)) - 1])
    return float(np.sort(own)[ceil((len(own) + 1) * confidence - 1e-9) - 1])


LEVELS = (0.5, 0.8, 0.9, 0.95)
CONFIDENCE = 0.9
FEWEST = 6
"""Photographs with one kind of damage from which on it has a factor of its own."""
RESAMPLED, DOUBTED = 400, 0.9
"""Bootstrap samples of the photographs, and the share of them between whose ends a factor is not told from what it is compared with."""
CURVE = tuple(round(0.05 * k, 2) for k in range(1, 20))


def _draws(evidence: Sequence[Evidence]) -> int:
    counts = {e.draws for e in evidence}
    if len(counts) != 1:
        raise InputError(f"calibration needs photographs with one number of draws; got {sorted(counts) or 'none'}")
    return counts.pop()


@dataclass(frozen=True)
class Measured:
    """Every number is a mean over photographs. coverage: level -> share of values inside the central interval of a Gaussian whose
    mean and standard deviation are estimated from the K draws. empirical: the same for the quantiles of the draws, at the levels that
    K draws can bound. curve: `coverage` at 0.05, 0.10, ... 0.95, the reliability plot. crps: fair estimator, full range = 1.
    pixel_correlation, patch_correlation: Spearman, error against std, within a photograph; pooled_correlation: over the patches of all.
    spread, error: root mean square of the std and of the mean's error, full range = 1. photographs, draws: how many.
    """

    coverage: dict[float, float]
    empirical: dict[float, float]
    curve: dict[float, float]
    crps: float
    pixel_correlation: float
    patch_correlation: float
    pooled_correlation: float
    spread: float
    error: float
    photographs: int
    draws: int


def measure(evidence: Sequence[Evidence], factor: float = 1.0, levels: Sequence[float] = LEVELS) -> Measured:
    """What the draws, stretched about their mean by `factor`, are worth on photographs with known targets.

    The Gaussian interval is mean +- t std sqrt(1 + 1/K) with t of Student's distribution, K - 1 degrees of freedom: exact for the next
    draw from a Gaussian (normal quantiles would miss: eight draws know their spread to a quarter). The std includes the rounding of
    the target. Raises InputError for no photograph, or different numbers of draws.
    """
    count = _draws(evidence)
    sure = []  # the central probability at which each value is just inside
    for e in evidence:
        error, std = e.error(), e.std(factor) * e.widening
        with np.errstate(divide="ignore", invalid="ignore"):
            sure.append(central_probability(np.where(error == 0, 0.0, error / std), e.freedom))

    def covered(level: float) -> float:
        return float(np.mean([(s <= level + 1e-12).mean() for s in sure]))

    bounded = [level for level in levels if level <= (count - 1) / (count + 1)]
    own = [ensemble_coverage(e.stretched(factor), e.truth, bounded) for e in evidence]

    def average(values: Sequence[float]) -> float:
        known = [v for v in values if isfinite(v)]
        return float(np.mean(known)) if known else nan

    return Measured(
        coverage={level: covered(level) for level in levels},
        empirical={level: float(np.mean([o[level] for o in own])) for level in bounded},
        curve={level: covered(level) for level in CURVE},
        crps=float(np.mean([e.crps(factor) for e in evidence])),
        pixel_correlation=average([e.pixel_correlation() for e in evidence]),
        patch_correlation=average([e.patch_correlation() for e in evidence]),
        pooled_correlation=_pooled(evidence),
        spread=sqrt(float(np.mean([np.mean(e.std(factor) ** 2) for e in evidence]))),
        error=sqrt(float(np.mean([np.mean(e.error() ** 2) for e in evidence]))),
        photographs=len(evidence),
        draws=count,
    )


def _pooled(evidence: Sequence[Evidence]) -> float:
    """Rank correlation over the patches of all photographs together; NaN where no photograph holds a whole patch."""
    error, std = (np.concatenate([getattr(e, name) for e in evidence]) for name in ("patch_error", "patch_std"))
    return spearman(error, std) if error.size else nan


def fit(
    evidence: Sequence[Evidence],
    *,
    levels: Sequence[float] = LEVELS,
    confidence: float = CONFIDENCE,
    protocol: Mapping[str, Any] | None = None,
) -> Calibration:
    """The `Calibration` of calibration photographs, of which none may serve to measure it afterwards.

    Raises InputError for no photograph, different numbers of draws, or draws so narrow that no factor covers 90 %.
    """
    count = _draws(evidence)
    scores = [e.scores() for e in evidence]
    fewest = {level: fewest_photographs(level) for level in levels}
    return Calibration(
        factor=_factor([_needed(e) for e in evidence]),
        pixel={x: pixel_factor(scores, x) for x in levels if len(scores) > fewest[x]},
        photograph={
            x: photograph_factor(scores, x, confidence) for x in levels if len(scores) >= fewest_photographs(confidence)
        },
        confidence=confidence,
        draws=count,
        photographs=len(evidence),
        values=len(evidence[0].truth),
        rounding=evidence[0].rounding,
        protocol=dict(protocol or {}),
    )


def fit_stated(
    evidence: Sequence[Evidence], kinds: Sequence[Sequence[str]], *, protocol: Mapping[str, Any] | None = None
) -> Calibration:
    """The `Calibration` of a model that estimates its own standard deviation (`gather_stated`).

    evidence: of the calibration photographs, of which none may serve to measure it afterwards. kinds: the kinds of damage that were fixed
    in each; one that at least FEWEST photographs have gets a factor of its own, where they tell it from that of all. protocol: of the
    runs. Raises InputError where there are no photographs, or a standard deviation of nothing beside errors.
    """
    # A network learned its deviations from far more photographs than calibrate it: what these few cannot tell from 1 is chance.
    overall = _told_from(1.0, evidence)
    own = {}
    for kind in sorted({k for names in kinds for k in names}):
        of = [e for e, names in zip(evidence, kinds, strict=True) if kind in names]
        if len(of) >= FEWEST:
            factor = _told_from(overall, of)
            if factor != overall:
                own[kind] = factor
    known = Calibration(overall, {}, {}, CONFIDENCE, 1, len(evidence), 0, evidence[0].rounding, of="doubt", kinds=own)
    stretched = [e.restated(known.std(e.spread, names)) for e, names in zip(evidence, kinds, strict=True)]
    return replace(fit(stretched, protocol=protocol), factor=overall, of="doubt", light=overall, kinds=own)


def _told_from(usual: float, evidence: Sequence[Evidence]) -> float:
    """The factor of these photographs, or the usual one where it lies within what other photographs like them might have given.

    By the bootstrap over photographs (Efron 1979), since the values of one depend on each other.
    """
    needed, generator = [_needed(e) for e in evidence], np.random.default_rng(0)
    drawn = [_factor([needed[i] for i in generator.integers(len(needed), size=len(needed))]) for _ in range(RESAMPLED)]
    low, high = np.quantile(drawn, [(1 - DOUBTED) / 2, (1 + DOUBTED) / 2])
    return usual if low <= usual <= high else _factor(needed)


def _needed(e: Evidence) -> np.ndarray:
    """By which factor each value's deviation must be stretched to hold it.

    A value is inside where (factor std)^2 + rounding^2 >= (error / (t sqrt(1 + 1/K)))^2.
    """
    wide = central_quantile(TARGET, e.freedom) * e.widening
    missing = np.maximum((e.error() / wide) ** 2 - e.rounding**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(missing == 0, 0.0, np.sqrt(missing) / e.spread)


def _factor(needed: Sequence[np.ndarray]) -> float:
    """The smallest factor at which the Gaussian 90 % intervals hold 90 % of all values; needed: `_needed` of each photograph."""
    values = np.concatenate(needed)
    last = int(np.ceil(TARGET * len(values))) - 1
    factor = float(np.partition(values, last)[last])
    if not isfinite(factor):
        raise InputError("the draws have no spread where they err: no factor makes their intervals cover 90 %")
    return factor
