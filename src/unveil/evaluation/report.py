"""The result of an evaluation, and writing it as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from unveil import __version__
from unveil.errors import InputError
from unveil.evaluation.metrics.registry import METRICS
from unveil.evaluation.protocols import Protocol
from unveil.evaluation.table import Comparison, Score, Summary, json_number, number, summarise
from unveil.util import atomic
from unveil.util.words import shown


@dataclass(frozen=True)
class Row:
    """One scored image: metric -> value, and notes (depth scaled, alpha dropped, constant image...).

    partner: the target's name, where the image's own does not say which it is.
    """

    name: str
    values: dict[str, float]
    notes: tuple[str, ...] = ()
    partner: str = ""

    @property
    def key(self) -> str:
        """What the same image has in common in the reports of two methods."""
        return self.partner or self.name


@dataclass(frozen=True)
class Failure:
    """An image that could not be scored, and why. partner, key: as a `Row` has them."""

    name: str
    reason: str
    partner: str = ""

    @property
    def key(self) -> str:
        """What the same image has in common in the reports of two methods."""
        return self.partner or self.name


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


Comparisons = Mapping[str, Comparison]
EXTENSIONS = (".csv", ".json", ".md")


def summary_dict(summary: Summary) -> dict[str, Any]:
    """A summary for JSON."""
    return {key: json_number(value) if isinstance(value, float) else value for key, value in asdict(summary).items()}


def to_dict(report: Report, comparisons: Comparisons | None = None) -> dict[str, Any]:
    """The whole report for JSON: protocol, versions, summaries, rows worst first, failures and leftovers."""
    content: dict[str, Any] = {
        "protocol": report.protocol.to_dict(),
        "protocol_text": report.protocol.describe(),
        "prediction": report.prediction,
        "target": report.target,
        "matched_by": report.rule,
        "complete": report.complete,
        "bootstrap_seed": report.seed,
        "software": report.software,
        "summary": {metric: summary_dict(report.summary(metric)) for metric in report.metrics},
        "of_sets": {metric: json_number(value) for metric, value in report.of_sets.items()},
        "rows": [
            {
                "name": row.name,
                **{metric: json_number(value) for metric, value in row.values.items()},
                "notes": list(row.notes),
            }
            for row in report.worst_first()
        ],
        "failures": [{"name": failure.name, "reason": failure.reason} for failure in report.failures],
        "predictions_without_target": [str(path) for path in report.predictions_left],
        "targets_without_prediction": [str(path) for path in report.targets_left],
    }
    if comparisons:
        content["compared"] = {
            metric: {
                "difference": summary_dict(c.difference),
                **{key: getattr(c, key) for key in ("wins", "losses", "ties", "decided")},
            }
            for metric, c in comparisons.items()
        }
    return content


def to_json(report: Report, comparisons: Comparisons | None = None) -> str:
    """`to_dict` as text; strict JSON, an infinite PSNR is "inf"."""
    return json.dumps(to_dict(report, comparisons), indent=2, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """One line per image, worst first, with its notes and the protocol; full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *report.metrics, "notes", "protocol"])
    protocol_text = report.protocol.describe()
    for row in report.worst_first():
        values = ["" if isnan(row.values[metric]) else repr(row.values[metric]) for metric in report.metrics]
        writer.writerow([row.name, *values, "; ".join(row.notes), protocol_text])
    for failure in report.failures:
        writer.writerow([failure.name, *[""] * len(report.metrics), f"not scored: {failure.reason}", protocol_text])
    return text.getvalue()


def to_markdown(report: Report, comparisons: Comparisons | None = None, *, worst: int = 10) -> str:
    """A page of Markdown: the protocol, means with intervals, the `worst` images, a comparison, and what was not scored."""
    lines = [f"Protocol: {report.protocol.describe()}", ""]
    if report.protocol.unstated:
        lines += [f"Left open by the protocol's source: {'; '.join(report.protocol.unstated)}", ""]
    if report.rows:
        lines += _numbers(report, worst)
    if comparisons:
        lines += ["", "Compared on the same images, first minus second:", ""]
        lines += ["| metric | difference | 95 % interval | wins / losses / ties | images |", "|---|---|---|---|---|"]
        for metric, c in comparisons.items():
            d, places = c.difference, METRICS[metric].decimals + 1
            interval = f"[{number(d.low, places)}, {number(d.high, places)}]"
            counted = f"{c.wins} / {c.losses} / {c.ties} | {d.n}"
            lines.append(f"| {metric} | {number(d.mean, places)} | {interval} | {counted} |")
    left = [(f.name, f.reason) for f in report.failures]
    left += [(str(path), "no target of that name") for path in report.predictions_left]
    left += [(str(path), "no prediction of that name") for path in report.targets_left]
    if left:
        lines += ["", f"Not scored ({len(left)}):", "", *(shown(f"- {name}: {reason}") for name, reason in left)]
    return "\n".join(lines) + "\n"


def _numbers(report: Report, worst: int) -> list[str]:
    lines = ["| metric | mean | 95 % interval | std | median | images |", "|---|---|---|---|---|---|"]
    lines += [_summary_line(metric, report.summary(metric)) for metric in report.metrics]
    for metric, value in report.of_sets.items():
        lines.append(
            f"| {metric} (the folders as wholes) | {number(value, 2)} | none | none | none | {len(report.rows)} |"
        )
    listed = report.worst_first()[:worst]
    lines += ["", f"Worst first by {report.metrics[0]} ({len(listed)} of {len(report.rows)}):", ""]
    lines += ["| image | " + " | ".join(report.metrics) + " | notes |", "|---" * (len(report.metrics) + 2) + "|"]
    for row in listed:
        cells = [number(row.values[metric], METRICS[metric].decimals) for metric in report.metrics]
        lines.append(f"| {shown(row.name)} | " + " | ".join(cells) + f" | {'; '.join(row.notes)} |")
    return lines


def _summary_line(metric: str, summary: Summary) -> str:
    places = METRICS[metric].decimals
    mean = number(summary.mean, places)
    if summary.infinite:
        others = "" if summary.infinite == summary.n else f", the others {number(summary.finite_mean, places)}"
        mean += f" ({summary.infinite} of {summary.n} infinite{others})"
    interval = (
        "none" if summary.low != summary.low else f"[{number(summary.low, places)}, {number(summary.high, places)}]"
    )
    images = f"{summary.n}" + (f", {summary.undefined} undefined" if summary.undefined else "")
    spread = [number(summary.std, places) if summary.std == summary.std else "none", number(summary.median, places)]
    return f"| {metric} | {mean} | {interval} | {' | '.join(spread)} | {images} |"


def check_extension(path: Path) -> None:
    """Raise InputError unless `write` knows the file's extension; to be asked before long work, not after."""
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(f"{path}: reports are written as {', '.join(EXTENSIONS)}")


def write(path: Path, report: Report, comparisons: Comparisons | None = None) -> None:
    """Write a report in the format of the file's extension: .json, .csv or .md. The old file stays until the new one is whole.

    Raises InputError for another extension.
    """
    check_extension(path)
    extension = path.suffix.lower()
    if extension == ".csv":
        text = to_csv(report)
    elif extension == ".json":
        text = to_json(report, comparisons)
    else:
        text = to_markdown(report, comparisons, worst=len(report.rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.replace(path, text.encode())
