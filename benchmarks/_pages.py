"""Pages of documentation whose numbers come from the results, and which fail to render when their sentences stop being true.

A page in benchmarks/pages/ is a Jinja template of Markdown with

    {{ f["dpsc.off.one.0"] }}                                a number: mean over the seeds, and its standard deviation
    {{ f["dpsc.on_policy.one.1"] - f["dpsc.off.one.1"] }}    a difference, taken seed by seed
    {{ f["dpsc.table.dial"] }}                               a table
    {% do require("dpsc.on_policy.one.1 > dpsc.off.one.1 by 0.2") %}   an error unless it holds in every seed
    {% do require("dpsc.more.one.0 ~ dpsc.off.one.0 by 0.1") %}        an error unless the means are that close

A name is the benchmark's short name and one of its facts (`facts` of its module). A line of requirements alone leaves no trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean, stdev
from typing import Any


@dataclass(frozen=True)
class Value:
    """Numbers of several seeds (or one), printed as mean and standard deviation with `digits` decimals."""

    values: list[float]
    digits: int = 2
    signed: bool = False

    @property
    def mean(self) -> float:
        return fmean(self.values)

    def __sub__(self, other: Value) -> Value:
        if not isinstance(other, Value):
            return NotImplemented
        if len(self.values) != len(other.values):
            raise ValueError(f"a difference of {len(self.values)} and {len(other.values)} seeds")
        return Value(
            [a - b for a, b in zip(self.values, other.values, strict=True)], max(self.digits, other.digits), True
        )

    def __str__(self) -> str:
        sign = "+" if self.signed else ""
        text = f"{self.mean:{sign}.{self.digits}f}"
        return f"{text} ± {stdev(self.values):.{self.digits}f}" if len(self.values) > 1 else text


class Facts(dict[str, Value | str]):
    """What pages may quote of a result: name -> number or text."""

    def put(self, name: str, values: float | list[float], digits: int = 2, scale: float = 1.0) -> str:
        """Keep a number, or one of each seed, in another unit; returns it as printed."""
        values = values if isinstance(values, list) else [values]
        self[name] = Value([scale * v for v in values], digits)
        return str(self[name])

    def cells(self, *names: str) -> list[str]:
        """Facts as printed, "" for what is not there."""
        return [str(self.get(name, "")) for name in names]


def tables(facts: Mapping[str, Value | str]) -> str:
    """All tables among the facts."""
    return "\n\n".join(str(text) for name, text in facts.items() if name.startswith("table"))


class PageError(ValueError):
    """A page that quotes what no result says, or says what no result bears out."""


_REQUIRE = re.compile(r"(\S+) ([>~]) (\S+)(?: by (\S+))?")


@cache
def _engine() -> Any:
    from jinja2 import Environment  # measuring does without it

    return Environment(trim_blocks=True, keep_trailing_newline=True, extensions=["jinja2.ext.do"], autoescape=False)


class _Known(dict[str, Value | str]):
    def __missing__(self, name: str) -> Value | str:
        raise PageError(f"no fact is called {name}")


def _value(facts: Mapping[str, Value | str], name: str) -> Value:
    try:
        return Value([float(name)], 2)
    except ValueError:
        pass
    found = facts.get(name)
    if not isinstance(found, Value):
        raise PageError(f"no number is called {name}")
    return found


def require(facts: Mapping[str, Value | str], sentence: str) -> None:
    """Hold the page to "LEFT > RIGHT by MORE", in every seed, or to "LEFT ~ RIGHT by MOST", of the means. Raises PageError."""
    wanted = _REQUIRE.fullmatch(sentence)
    if not wanted:
        raise PageError(f"cannot read the requirement {sentence!r}")
    a, b, by = _value(facts, wanted[1]), _value(facts, wanted[3]), float(wanted[4] or 0)
    if len(b.values) == 1:
        b = Value(b.values * len(a.values), b.digits)
    difference = a - b
    holds = min(difference.values) > by if wanted[2] == ">" else abs(difference.mean) <= by
    if not holds:
        raise PageError(f"the page says {sentence}, but the difference is {difference}: {difference.values}")


def render(text: str, facts: Mapping[str, Value | str]) -> str:
    """The page with every placeholder filled. Raises PageError for an unknown name or a requirement that does not hold."""
    try:
        return _engine().from_string(text).render(f=_Known(facts), require=partial(require, facts))
    except TypeError as error:
        raise PageError(f"a difference of what is no number: {error}") from error
