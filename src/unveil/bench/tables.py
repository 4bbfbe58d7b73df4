"""A result as tables: one a test set, what papers print for it below and apart."""

from __future__ import annotations

from typing import Any

from unveil.evaluation.protocol import Protocol
from unveil.evaluation.protocols import get_protocol
from unveil.evaluation.published import published_numbers
from unveil.evaluation.statistics import summarise
from unveil.evaluation.table import Score, Table

SHOWN = {"psnr": "PSNR (dB)", "ssim": "SSIM"}


def of_set(name: str, rows: dict[str, Any]) -> Table:
    """The table of one set: a row a method, the mean over images with its bootstrap interval, one draw and the mean of draws in columns
    of their own; then the rows that papers print for the same data set, those that do not say how they were taken apart.
    """
    made = Table(name)
    protocol = _protocol(next(iter(rows.values()))["protocol"])
    for title, row in rows.items():
        if not row["images"]:
            continue
        for metric, label in SHOWN.items():
            made.put(title, label, _score(metric, row["one draw"], protocol))
            if row.get("mean of draws"):
                many = protocol.changed(draws=row["draws"])
                made.put(title, f"{label}, mean of {row['draws']} draws", _score(metric, row["mean of draws"], many))
    for number in published_numbers():
        if number.table.place == "ablation":
            continue
        if number.column.protocol == protocol.name and number.column.metric in SHOWN:
            label = SHOWN[number.column.metric]
            if number.comparable:
                made.put(f"{number.method} (printed)", label, number.score())
            else:
                number.put_apart(made, label)
    return made


def _protocol(described: str) -> Protocol:
    """The protocol that a row names; its own words begin with its name."""
    return get_protocol(described.split(":", 1)[0])


def _score(metric: str, values: list[dict[str, float]], protocol: Protocol) -> Score:
    found = summarise([v[metric] for v in values])
    return Score(metric, found.mean, protocol, found.n, found.low, found.high)


def markdown(result: dict[str, Any]) -> str:
    """Every set's table, and what could not be measured."""
    parts = [of_set(name, rows).to_markdown() for name, rows in result["sets"].items()]
    lost = [
        f"- {name}, {title}, {image}: {reason}"
        for name, rows in result["sets"].items()
        for title, row in rows.items()
        for image, reason in row["failed"].items()
    ]
    return "\n".join([*parts, *(["Not measured:", "", *lost, ""] if lost else [])])
