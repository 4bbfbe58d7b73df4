"""What an evaluation found, with the protocol beside every number: rows, summaries, failures, and what was left out."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import numpy as np

from unveil import __version__
from unveil.evaluation.metrics.registry import METRICS
from unveil.evaluation.protocol import Protocol
from unveil.evaluation.statistics import Summary, summarise
from unveil.evaluation.table import Score


@dataclass(frozen=True)
class Row:
    """One scored image: metric -> value, and notes (depth scaled, alpha dropped, constant image...)."""

    name: str
    values: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An image that could not be scored, and why."""

    name: str
    reason: str


def software() -> dict[str, str]:
    """Versions that a number may depend on."""
    import PIL

    return {
        "unveil": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


@dataclass(frozen=True)
class Report:
    """The result of `evaluate_folders`. rows are in the order of their names; numbers are float64 throughout.

    of_sets: metrics of the two folders as wholes (FID), taken on the files as they are.
    """

    protocol: Protocol
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...] = ()
    predictions_left: tuple[Path, ...] = ()
    targets_left: tuple[Path, ...] = ()
    rule: str = ""
    prediction: str = ""
    target: str = ""
    seed: int = 0
    of_sets: dict[str, float] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=software)

    @property
    def complete(self) -> bool:
        """Whether every image of both folders was scored."""
        return not (self.failures or self.predictions_left or self.targets_left)

    def values(self, metric: str) -> list[float]:
        """The metric's value of every row, in order."""
        return [row.values[metric] for row in self.rows]

    def summary(self, metric: str) -> Summary:
        """Mean, spread and bootstrap interval over the rows."""
        return summarise(self.values(metric), seed=self.seed)

    def score(self, metric: str) -> Score:
        """The mean as a number for a `Table`."""
        summary = self.summary(metric)
        return Score(metric, summary.mean, self.protocol, summary.n, summary.low, summary.high)

    def worst_first(self, metric: str | None = None) -> list[Row]:
        """Rows from the worst to the best by a metric (default: the first one); undefined values lead, ties go by name."""
        name = metric or self.metrics[0]
        sign = 1.0 if METRICS[name].better == "higher" else -1.0

        def key(row: Row) -> tuple[bool, float, str]:
            value = row.values[name]
            return (not isnan(value), 0.0 if isnan(value) else sign * value, row.name)

        return sorted(self.rows, key=key)
