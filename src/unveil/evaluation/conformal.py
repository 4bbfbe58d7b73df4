"""Split-conformal factors: how far the standard deviation must be stretched, with what is then guaranteed.

The unit is the photograph: its pixels depend on each other, so only photographs are exchangeable. A score is |truth - mean| / std of
one pixel value; every calibration photograph gives a row of scores. The guarantees below hold for a new photograph that is exchangeable
with the calibration photographs (drawn from the same source in the same way), under the same sampler and number of draws, whatever the
model and whatever the distribution of errors; they are averages over the draw of the calibration photographs too. They say nothing of
photographs from elsewhere, nor of one chosen pixel or region.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from unveil.errors import InputError


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
    outside = np.append(
        after[1:], 0.0
    )  # share strictly above the k-th smallest score, ties apart; exactly 0 for the last
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
