"""The drawing and CONTRIBUTING show the floors that `make lint` holds the house to."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import floors

ROOT = Path(__file__).resolve().parents[2]


def test_the_drawing_is_that_of_the_contract() -> None:
    assert floors.PICTURE.read_text(encoding="utf-8") == floors.svg(), "run python -m benchmarks floors"


def test_contributing_lists_the_floors_from_the_top() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = [re.findall(r"\w+", line) for line in re.findall(r"^    (\w+(?: \| \w+)*)$", text, re.M)]
    assert listed == floors.floors()
