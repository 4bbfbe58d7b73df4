"""The rows that the papers print, as data: every number with its paper, table, metric, and what is known of its protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from unveil.errors import InputError
from unveil.evaluation.protocols import Protocol, get_protocol
from unveil.evaluation.table import Score, Table
from unveil.util.words import check_known


@dataclass(frozen=True)
class Column:
    """One column of a printed table. protocol: name of the closest one here, None if none is; unclear: what is not printed of it."""

    dataset: str
    metric: str
    protocol: str | None
    unclear: tuple[str, ...]


@dataclass(frozen=True)
class PublishedTable:
    """A table as printed. table: its number, None if unknown; place: section; kind: quality, cost, settings or challenge.

    rows: method -> values in the order of the columns, None where nothing is printed; own: methods of the paper's authors.
    """

    paper: str
    title: str
    table: str | None
    place: str
    kind: str
    columns: tuple[Column, ...]
    rows: dict[str, tuple[float | None, ...]]
    own: frozenset[str]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class PublishedNumber:
    """One printed number and where it stands."""

    method: str
    value: float
    column: Column
    table: PublishedTable
    own: bool

    @property
    def comparable(self) -> bool:
        """Whether the paper says enough for the number to stand in a column beside measured ones."""
        return self.column.protocol is not None and not self.column.unclear

    @property
    def citation(self) -> str:
        """Where it is printed: paper, table and section."""
        number = f"table {self.table.table}" if self.table.table else f"'{self.table.title}'"
        return f"{papers()[self.table.paper]['short']}, {number}, {self.table.place}"

    @property
    def conditions(self) -> str:
        """What is known of its protocol, and what is not."""
        known = f"like {self.column.protocol}" if self.column.protocol else "no protocol of ours"
        return known + (f"; unclear: {'; '.join(self.column.unclear)}" if self.column.unclear else "")

    def protocol(self) -> Protocol | None:
        """The closest protocol, or None."""
        return get_protocol(self.column.protocol) if self.column.protocol else None

    def score(self) -> Score:
        """The number for `Table.put`. Raises InputError unless it is comparable: otherwise use `put_apart`."""
        protocol = self.protocol()
        if protocol is None or not self.comparable:
            raise InputError(
                f"{self.method} on {self.column.dataset} ({self.citation}) cannot stand in a column: {self.conditions}"
            )
        return Score(self.column.metric, self.value, protocol, note=self.citation)

    def put_apart(self, table: Table, column: str) -> None:
        """Show it under a table of measured numbers, with what is known of its protocol."""
        table.put_apart(self.method, column, f"{self.value:g} ({self.citation})", self.conditions)


@cache
def _content() -> dict:
    return json.loads((files("unveil.evaluation") / "published.json").read_text(encoding="utf-8"))


def papers() -> dict[str, dict[str, str]]:
    """Key -> title, venue, and what the numbers were read from."""
    return _content()["papers"]


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Every table, in the papers' order."""
    return tuple(
        PublishedTable(
            **{key: table[key] for key in ("paper", "title", "table", "place", "kind")},
            columns=tuple(
                Column(c["dataset"], c["metric"], c["protocol"], tuple(c["unclear"])) for c in table["columns"]
            ),
            rows={row["method"]: tuple(row["values"]) for row in table["rows"]},
            own=frozenset(row["method"] for row in table["rows"] if row.get("own")),
            remarks=tuple(table["remarks"]),
        )
        for table in _content()["tables"]
    )


def published_numbers(
    *, dataset: str | None = None, metric: str | None = None, method: str | None = None, paper: str | None = None
) -> Iterator[PublishedNumber]:
    """Printed numbers whose data set, metric and method (parts of names, any case) and paper (its key) are as asked."""
    if paper is not None:
        check_known("paper", paper, papers())
    for table in published_tables():
        if paper not in (None, table.paper):
            continue
        for row, values in table.rows.items():
            for column, value in zip(table.columns, values, strict=True):
                wanted = (
                    (dataset is None or dataset.lower() in column.dataset.lower())
                    and (metric is None or metric == column.metric)
                    and (method is None or method.lower() in row.lower())
                )
                if wanted and value is not None:
                    yield PublishedNumber(row, value, column, table, row in table.own)
