"""A result as tables: one a test set, what papers print for it below and apart."""

from __future__ import annotations

from typing import Any

from unveil.bench.record import table
from unveil.evaluation.metrics.learned import OF_SETS
from unveil.evaluation.metrics.registry import get_metric
from unveil.evaluation.protocols import Protocol, get_protocol
from unveil.evaluation.published import published_numbers
from unveil.evaluation.table import Score, Table, summarise

HIDDEN = ("psnr_mean_matched",)
"""Metrics that rows keep and tables of sets do not show."""


def label(name: str) -> str:
    """How a column is called: "PSNR (dB)", or "MAE in Lab, shadow" for a metric in a region."""
    metric, _, region = name.partition("@")
    if metric in OF_SETS:
        return metric.upper()
    found = get_metric(metric)
    return found.title + (f" ({found.unit})" if found.unit else "") + (f", {region}" if region else "")


def of_set(name: str, rows: dict[str, Any]) -> Table:
    """The table of one set: a row a method, the mean over images with its bootstrap interval, one draw and the mean of draws in columns
    of their own; what is taken on the set as a whole (FID), without interval; then the rows that papers print for the same data set, those
    that do not say how they were taken apart.
    """
    made = Table(name)
    protocol = _protocol(next(iter(rows.values()))["protocol"])
    shown: dict[str, None] = {}
    for title, row in rows.items():
        if not row["images"]:
            continue
        for name in row["one draw"][0]:
            if name in HIDDEN:
                continue
            shown.setdefault(name.partition("@")[0])
            metric, _, region = name.partition("@")
            rules = protocol.changed(region=region) if region else protocol
            made.put(title, label(name), _score(metric, row["one draw"], rules, name))
            if row.get("mean of draws"):
                many = rules.changed(draws=row["draws"])
                column = f"{label(name)}, mean of {row['draws']} draws"
                made.put(title, column, _score(metric, row["mean of draws"], many, name))
        for name, value in row.get("of set", {}).items():
            shown.setdefault(name)
            made.put(title, label(name), Score(name, value, protocol, len(row["images"])))
    for number in published_numbers():
        if number.table.place == "ablation":
            continue
        if number.column.protocol == protocol.name and number.column.metric in shown:
            column = label(number.column.metric)
            if number.comparable:
                made.put(f"{number.method} (printed)", column, number.score())
            else:
                number.put_apart(made, column)
    return made


def _protocol(described: str) -> Protocol:
    """The protocol that a row names; its own words begin with its name."""
    return get_protocol(described.split(":", 1)[0])


def _score(metric: str, values: list[dict[str, float]], protocol: Protocol, name: str) -> Score:
    found = summarise([v[name] for v in values])
    return Score(metric, found.mean, protocol, found.n, found.low, found.high)


def costs(result: dict[str, Any]) -> str:
    """What the methods cost: size of each network, seconds a photograph, and a CUDA device's peak; "" where nothing was counted."""
    rows = []
    for title, found in result.get("costs", {}).items():
        networks = {part: size for part, size in found.items() if isinstance(size, dict)}
        spent = [s for of in result["sets"].values() for s in of.get(title, {}).get("processor_seconds", ())]
        peak = found.get("peak_device_bytes")
        rows.append(
            [
                title,
                " + ".join(f"{size['parameters'] / 1e6:,.1f}" for size in networks.values()),
                " + ".join(f"{size['macs'] / 1e9:,.1f}" for size in networks.values()),
                f"{sum(spent) / len(spent):.2f}" if spent else "",
                f"{peak / 2**30:.1f}" if peak else "",
            ]
        )
    head = ["method", "parameters (M)", "GMAC an evaluation, 512x512", "processor s a photograph", "device GiB, peak"]
    return f"## Cost\n\n{table(head, rows)}\n" if rows else ""


def markdown(result: dict[str, Any]) -> str:
    """Every set's table, and what could not be measured."""
    parts = [of_set(name, rows).to_markdown() for name, rows in result["sets"].items()]
    lost = [
        f"- {name}, {title}, {image}: {reason}"
        for name, rows in result["sets"].items()
        for title, row in rows.items()
        for image, reason in row["failed"].items()
    ]
    counted = costs(result)
    return "\n".join([*parts, *([counted] if counted else []), *(["Not measured:", "", *lost, ""] if lost else [])])
