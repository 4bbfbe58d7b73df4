"""Every plot that the pages show is drawn from results that are committed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import plots
from unveil.models import shelf

ROOT = Path(__file__).resolve().parents[2]


def test_every_picture_of_the_pages_is_there_and_none_is_left_over() -> None:
    shown = {
        name
        for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for name in re.findall(r"img/([\w.]+)", page.read_text(encoding="utf-8"))
    }
    assert shown == {path.name for path in (ROOT / "docs" / "img").iterdir()}


@pytest.mark.parametrize("name", ["quality", "steps"])
def test_a_plot_of_quality_is_of_the_weights_that_ship(name: str) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    runs = [row["run"] for rows in result["sets"].values() for row in rows.values() if row["run"]]
    assert runs
    for run in runs:
        assert run["sha256"] == shelf.entries()[run["model"]]["sha256"], f"{name}: measure it again"


@pytest.mark.slow
def test_every_plot_can_be_drawn_anew(tmp_path: Path) -> None:
    made = plots.draw(tmp_path)
    assert [path.stem for path in made] == list(plots.PLOTS), "a result is missing"
    for path in made:
        with Image.open(path) as drawn, Image.open(ROOT / "docs" / "img" / path.name) as shown:
            assert abs(drawn.width - shown.width) <= 2, path.name
            assert abs(drawn.height - shown.height) <= 2, path.name
