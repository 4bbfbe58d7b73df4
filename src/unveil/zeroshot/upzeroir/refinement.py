"""DQR, dynamic quality refinement: a judge's scores decide when to stop, and which estimate is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from unveil.zeroshot.upzeroir.judge import Judge


def marks(grid: Sequence[int], total: int, every: float, below: float) -> set[int]:
    """Indices of a descending grid at which to score: the first at or under each multiple of `every` * total up to `below` * total.

    The clean end is not among them: what arrives there is scored as the descent's result.
    """
    out = set()
    for k in range(1, math.floor(below / every + 1e-9) + 1):
        mark = k * every * total
        out |= {u for t, u in pairwise([math.inf, *grid]) if u <= mark < t and u > 0}
    return out


class Refinement:
    """Scores of one image's estimates, in the order of sampling, and the best of them.

    threshold, rule, patience: see UPZeroIRSettings. A score that is NaN is no opinion: it neither counts as convergence nor as best.
    """

    def __init__(self, judge: Judge, threshold: float, rule: str = "rise", patience: int = 1) -> None:
        self.judge, self.threshold, self.rule, self.patience = judge, threshold, rule, patience
        self.best: Tensor | None = None
        self.best_score = -math.inf
        self._previous = math.nan
        self._quiet = 0

    def begin(self) -> None:
        """A descent begins: its first estimates are rougher than the last descent's result, so they are not compared with it."""
        self._previous, self._quiet = math.nan, 0

    def converged(self, image: Tensor) -> bool:
        """Score an estimate (1, 3, H, W) around [-1, 1] of a descent under way; True where refinement should stop ("Great")."""
        score = self._score(image)
        calm = self._calm(score - self._previous)
        self._previous = score
        self._quiet = self._quiet + 1 if calm else 0
        return self._quiet >= self.patience

    def finished(self, image: Tensor) -> bool:
        """Score a descent's result; True where another descent is not worth its while: this one gained too little over all before."""
        before = self.best_score
        score = self._score(image)
        return self._calm(score - before) if math.isfinite(before) else False

    def _score(self, image: Tensor) -> float:
        score = float(self.judge(((image + 1) / 2).clamp(0, 1)))
        if score > self.best_score:
            self.best, self.best_score = image.clone(), score
        return score

    def _calm(self, gain: float) -> bool:
        return (abs(gain) if self.rule == "change" else gain) < self.threshold
