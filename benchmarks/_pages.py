"""Pages of documentation whose numbers come from the results, and which fail to render when their sentences stop being true.

A page in benchmarks/pages/ is Markdown with

    {{dpsc.off.one.0}}                              a number: mean over the seeds, and its standard deviation
    {{dpsc.on_policy.one.1 - dpsc.off.one.1}}       a difference, taken seed by seed
    {{dpsc.table.dial}}                             a table
    {{require dpsc.on_policy.one.1 > dpsc.off.one.1 by 0.2}}    nothing; an error unless it holds in every seed
    {{require dpsc.more.one.0 ~ dpsc.off.one.0 by 0.1}}         nothing; an error unless the means are that close

A name is the benchmark's short name and one of its facts (`facts` of its script).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev


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
        if len(self.values) != len(other.values):
            raise ValueError(f"a difference of {len(self.values)} and {len(other.values)} seeds")
        return Value(
            [a - b for a, b in zip(self.values, other.values, strict=True)], max(self.digits, other.digits), True
        )

    def __str__(self) -> str:
        sign = "+" if self.signed else ""
        text = f"{self.mean:{sign}.{self.digits}f}"
        return f"{text} ± {stdev(self.values):.{self.digits}f}" if len(self.values) > 1 else text


class PageError(ValueError):
    """A page that quotes what no result says, or says what no result bears out."""


_PLACE = re.compile(r"\{\{(.+?)\}\}")
_REQUIRE = re.compile(r"require (\S+) ([>~]) (\S+)(?: by (\S+))?")


def _value(facts: Mapping[str, Value | str], name: str) -> Value:
    try:
        return Value([float(name)], 2)
    except ValueError:
        pass
    if name not in facts or not isinstance(facts[name], Value):
        raise PageError(f"no number is called {name}")
    return facts[name]  # type: ignore[return-value]


def require(facts: Mapping[str, Value | str], left: str, relation: str, right: str, by: float) -> None:
    """Raise PageError unless left > right + by in every seed, or for "~" the means differ by at most `by`."""
    a, b = _value(facts, left), _value(facts, right)
    if len(b.values) == 1:
        b = Value(b.values * len(a.values), b.digits)
    difference = a - b
    holds = min(difference.values) > by if relation == ">" else abs(difference.mean) <= by
    if not holds:
        raise PageError(
            f"the page says {left} {relation} {right} by {by:g}, but the difference is {difference}: {difference.values}"
        )


def render(text: str, facts: Mapping[str, Value | str]) -> str:
    """The page with every placeholder filled. Raises PageError for an unknown name or a requirement that does not hold."""

    def fill(match: re.Match[str]) -> str:
        inside = match[1].strip()
        wanted = _REQUIRE.fullmatch(inside)
        if wanted:
            require(facts, wanted[1], wanted[2], wanted[3], float(wanted[4] or 0))
            return ""
        if " - " in inside:
            left, right = inside.split(" - ")
            return str(_value(facts, left) - _value(facts, right))
        if inside not in facts:
            raise PageError(f"no fact is called {inside}")
        return str(facts[inside])

    filled = "\n".join(_PLACE.sub(fill, line) for line in text.splitlines() if not _only_requirements(line, facts))
    left = _PLACE.search(filled)
    if left:
        raise PageError(f"{left[0]} was not filled")
    return filled + "\n"


def _only_requirements(line: str, facts: Mapping[str, Value | str]) -> bool:
    """Check a line that holds nothing but requirements; such lines leave no trace in the page."""
    found = _PLACE.findall(line)
    if not found or _PLACE.sub("", line).strip() or not all(f.startswith("require ") for f in found):
        return False
    for inside in found:
        wanted = _REQUIRE.fullmatch(inside.strip())
        if not wanted:
            raise PageError(f"cannot read the requirement {inside!r}")
        require(facts, wanted[1], wanted[2], wanted[3], float(wanted[4] or 0))
    return True
