"""The drawing and CONTRIBUTING show the floors that `make lint` holds the house to."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def floors(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("floors")


def test_the_drawing_is_that_of_the_contract(floors) -> None:  # type: ignore[no-untyped-def]
    assert floors.PICTURE.read_text(encoding="utf-8") == floors.svg(), "run python benchmarks/floors.py"


def test_contributing_lists_the_floors_from_the_top(floors) -> None:  # type: ignore[no-untyped-def]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = [re.findall(r"\w+", line) for line in re.findall(r"^    (\w+(?: \| \w+)*)$", text, re.M)]
    assert listed == [["demo"], *floors.floors()]
