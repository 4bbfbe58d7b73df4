"""Tables in which a column holds numbers of one protocol, and one only."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isinf, isnan, nan

from unveil.errors import InputError
from unveil.evaluation.protocol import Protocol


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
    """A value as people read it: fixed decimals, "inf" for infinite, "undefined" for NaN."""
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
            told = "; ".join(f"{key}: {a!r} in the column, {b!r} here" for key, (a, b) in differences.items())
            raise ProtocolMismatch(
                f"{row!r} does not belong in column {column!r}: {told}. Use put_apart to show it beside"
            )
        if column in self.rows.get(row, {}):
            raise InputError(f"row {row!r} already has a number in column {column!r}")
        self.rows.setdefault(row, {})[column] = score

    def put_apart(self, row: str, column: str, score: Score | str, conditions: str = "not stated") -> None:
        """Show a number of another protocol under the table, with its own protocol beside it.

        A number whose protocol is not known well enough to make a `Score` is a string, with its `conditions` in words.
        """
        told = score.protocol.describe() if isinstance(score, Score) else conditions
        self.apart.append((row, column, score, told))

    def to_markdown(self) -> str:
        """The table, the protocol of each column, and the numbers that stand apart."""
        from unveil.evaluation.metrics.registry import METRICS

        def cell(score: Score) -> str:
            decimals = METRICS[score.metric].decimals if score.metric in METRICS else 3
            text = number(score.value, decimals)
            if not isnan(score.low):
                text += f" [{number(score.low, decimals)}, {number(score.high, decimals)}]"
            return text

        lines = [f"## {self.title}", ""] if self.title else []
        lines.append("| method | " + " | ".join(self.columns) + " |")
        lines.append("|---" * (len(self.columns) + 1) + "|")
        for row, scores in self.rows.items():
            cells = [cell(scores[column]) if column in scores else "" for column in self.columns]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
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
            for row, column, score, told in self.apart:
                text = score
                if isinstance(score, Score):
                    text = cell(score) + (f" ({score.note})" if score.note else "")
                lines.append(f"| {row} | {column} | {text} | {told} |")
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
                {"row": row, "of": column, "score": s if isinstance(s, str) else entry(s), "conditions": told}
                for row, column, s, told in self.apart
            ],
        }


def json_number(value: float) -> float | str | None:
    """JSON has neither infinity nor NaN: the first becomes "inf", the second null."""
    if isnan(value):
        return None
    return ("inf" if value > 0 else "-inf") if isinf(value) else value
