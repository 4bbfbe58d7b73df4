"""Tables that refuse to mix protocols, and the statistics of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isinf, isnan, nan

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.protocols import Protocol
from unveil.util.words import shown

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Statistics of one metric over n images.

    mean, std (with n - 1), median; low, high: bootstrap interval of the mean at `level`, NaN where there is none (fewer than two
    values, or an infinite one). infinite: how many values are infinite (PSNR of equal images); the mean is then infinite, of
    differences NaN where both signs occur, and `finite_mean` is over the others. undefined: values that do not exist (NaN), left out of
    everything.
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
    with np.errstate(invalid="ignore"):  # between infinities of both signs lies none
        median = float(np.sort(known)[(len(known) - 1) // 2 : len(known) // 2 + 1].mean())
    if infinite:
        signs = {float(v) for v in known[np.isinf(known)]}
        mean = signs.pop() if len(signs) == 1 else nan
        return Summary(len(known), mean, nan, median, nan, nan, level, infinite, finite_mean, undefined)
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


class ProtocolMismatch(InputError):
    """Two numbers that were taken differently were about to stand in one column."""


@dataclass(frozen=True)
class Score:
    """A number and its conditions. n: images it is the mean of (0: unknown); low, high: its interval; note: where it comes from."""

    metric: str
    value: float
    protocol: Protocol
    n: int = 0
    low: float = nan
    high: float = nan
    note: str = ""


def number(value: float, decimals: int) -> str:
    """A value as text: fixed decimals, "inf" for infinite, "undefined" for NaN."""
    if isnan(value):
        return "undefined"
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{decimals}f}"


@dataclass
class Table:
    """Rows are methods, columns are labels of your choice ("LOL PSNR"). A column takes the metric and protocol of its first number."""

    title: str = ""
    columns: dict[str, tuple[str, Protocol]] = field(default_factory=dict)
    rows: dict[str, dict[str, Score]] = field(default_factory=dict)
    apart: list[tuple[str, str, Score | str, str]] = field(default_factory=list)

    def put(self, row: str, column: str, score: Score) -> None:
        """Add a number. Raises ProtocolMismatch if the column holds another metric or protocol, InputError if the place is taken."""
        metric, protocol = self.columns.setdefault(column, (score.metric, score.protocol))
        if metric != score.metric:
            raise ProtocolMismatch(f"column {column!r} holds {metric}; {row!r} brings {score.metric}")
        differences = protocol.differences(score.protocol)
        if differences:
            conditions = "; ".join(f"{key}: {a!r} in the column, {b!r} here" for key, (a, b) in differences.items())
            raise ProtocolMismatch(
                f"{row!r} does not belong in column {column!r}: {conditions}. Use put_apart to show it beside"
            )
        if column in self.rows.get(row, {}):
            raise InputError(f"row {row!r} already has a number in column {column!r}")
        self.rows.setdefault(row, {})[column] = score

    def put_apart(self, row: str, column: str, score: Score | str, conditions: str = "not stated") -> None:
        """Show a number of another protocol under the table, with its own protocol beside it.

        A number whose protocol is not known well enough to make a `Score` is a string, with its `conditions` in words.
        """
        conditions = score.protocol.describe() if isinstance(score, Score) else conditions
        self.apart.append((row, column, score, conditions))

    def to_markdown(self) -> str:
        """The table, the protocol of each column, and the numbers that stand apart."""
        from unveil.evaluation.metrics.registry import METRICS

        def cell(score: Score) -> str:
            decimals = METRICS[score.metric].decimals if score.metric in METRICS else 3
            text = number(score.value, decimals)
            if not isnan(score.low):
                text += f" [{number(score.low, decimals)}, {number(score.high, decimals)}]"
            return text

        lines = [f"## {shown(self.title)}", ""] if self.title else []
        lines.append("| method | " + " | ".join(self.columns) + " |")
        lines.append("|---" * (len(self.columns) + 1) + "|")
        for row, scores in self.rows.items():
            cells = [cell(scores[column]) if column in scores else "" for column in self.columns]
            lines.append(f"| {shown(row)} | " + " | ".join(cells) + " |")
        lines.append("")
        for column, (metric, protocol) in self.columns.items():
            counts = sorted({s.n for scores in self.rows.values() if (s := scores.get(column)) is not None and s.n})
            images = f", {' or '.join(map(str, counts))} images" if counts else ""
            lines.append(f"- {column}: {metric}{images}. {protocol.describe()}")
        if self.apart:
            lines += [
                "",
                "Not comparable with the columns above:",
                "",
                "| method | of | value | protocol |",
                "|---|---|---|---|",
            ]
            for row, column, score, conditions in self.apart:
                text = score
                if isinstance(score, Score):
                    text = cell(score) + (f" ({score.note})" if score.note else "")
                lines.append(f"| {shown(row)} | {column} | {text} | {conditions} |")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, object]:
        """The table for JSON; every number carries its protocol."""

        def entry(score: Score) -> dict[str, object]:
            return {
                "metric": score.metric,
                "value": json_number(score.value),
                "low": json_number(score.low),
                "high": json_number(score.high),
                "n": score.n,
                "note": score.note,
                "protocol": score.protocol.to_dict(),
            }

        return {
            "title": self.title,
            "rows": {row: {column: entry(s) for column, s in scores.items()} for row, scores in self.rows.items()},
            "apart": [
                {"row": row, "of": column, "score": s if isinstance(s, str) else entry(s), "conditions": conditions}
                for row, column, s, conditions in self.apart
            ],
        }


def json_number(value: float) -> float | str | None:
    """JSON has neither infinity nor NaN: the first becomes "inf", the second null."""
    if isnan(value):
        return None
    return ("inf" if value > 0 else "-inf") if isinf(value) else value
