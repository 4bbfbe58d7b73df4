"""docs/evaluate.md names every metric and every protocol, each protocol as it is defined."""

from __future__ import annotations

from pathlib import Path

import pytest

from unveil.evaluation.metrics.registry import METRICS
from unveil.evaluation.protocols import PROTOCOLS
from unveil.evaluation.resize import RULES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_stands_as_it_is_defined(name: str) -> None:
    protocol = PROTOCOLS[name]
    conditions = protocol.describe().removeprefix(f"{name}: ")
    unstated = ", ".join(protocol.unstated) or "nothing"
    assert f"| `{name}` | {conditions} | {unstated} |" in PAGE


def test_no_protocol_is_listed_that_does_not_exist() -> None:
    listed = PAGE.split("## Protocols")[1].split("\n## ")[0]
    rows = [line.split("`")[1] for line in listed.splitlines() if line.startswith("| `")]
    assert rows == list(PROTOCOLS)


@pytest.mark.parametrize("name", [name for name in METRICS if "@" not in name])
def test_every_metric_is_defined_with_its_better_side(name: str) -> None:
    assert f"| `{name}` | {METRICS[name].better} |" in PAGE


def test_every_resize_rule_is_named() -> None:
    assert all(f"`{rule}`" in PAGE for rule in RULES)
