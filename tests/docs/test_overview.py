"""The table of docs/choose.md says what the results say, and nothing of weights that do not ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import overview, render

ROOT = Path(__file__).resolve().parents[2]
SHELF = {"general": {"sha256": "g"}, "wild": {"sha256": "w"}}


def row(psnr: list[float], sha256: str = "", **more: Any) -> dict[str, Any]:
    return {
        "run": {"sha256": sha256} if sha256 else {},
        "images": ["a", "b", "c"][: len(psnr)],
        "one draw": [{"psnr": v, "ssim": 0.5} for v in psnr],
        "processor_seconds": [2.0] * len(psnr),
        **more,
    }


def results(general: str = "g") -> tuple[dict[str, Any], ...]:
    models = {"input": row([10.0, 20.0, 30.0]), "default": row([11.0, 21.0, 31.0], general, draws=8)}
    wild = {"default": row([12.0, 22.0, 32.0], "w")}
    zero = {
        "input": row([10.0]),
        "stretch": row([13.0]),
        "gamma": row([14.0]),
        "LD-RPS seed 0": row([15.0]),
        "LD-RPS seed 1": row([17.0]),
    }
    sets = [dict.fromkeys(overview.SETS, of_set) for of_set in (models, wild, zero)]
    return tuple({"protocol": {"every": 3}, "sets": of_sets} for of_sets in sets)


def cells(table: str, begins: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith(f"| {begins}")]
    return [[cell.strip() for cell in line.split("|")[4:-1]] for line in lines]


def test_every_row_holds_its_seconds_and_its_means() -> None:
    table = overview.methods(*results(), SHELF)
    assert cells(table, "the input") == [["", *["20.0"] * 3], ["", *["10.0"] * 3]]
    assert cells(table, "[LearnIR]") == [["0.2", *["21.0"] * 3]]  # an eighth of 2 s, as drawn eight times: 0.25
    assert cells(table, "[IR-SDE]") == [["2.0", *["22.0"] * 3]]
    assert cells(table, "`general` again") == [["0.2", *["11.0"] * 3]]  # on the photograph that zero-shot methods had
    assert cells(table, "the better of two") == [["2.0", *["14.0"] * 3]]
    assert cells(table, "[LD-RPS]") == [["2.0", *["16.0"] * 3]]
    assert cells(table, "[DPS]") == [[overview.ABSENT] * 4]


def test_other_weights_than_those_that_ship_are_not_quoted() -> None:
    table = overview.methods(*results(general="old"), SHELF)
    assert cells(table, "[LearnIR]") == [[overview.ABSENT] * 4]
    assert cells(table, "[IR-SDE]") == [["2.0", *["22.0"] * 3]]


def test_the_table_goes_between_its_comments_and_nowhere_else() -> None:
    page = f"before\n{overview.BEGIN}old\n{overview.END}after\n"
    assert overview.placed(page, "new\n") == f"before\n{overview.BEGIN}\nnew\n\n{overview.END}after\n"
    with pytest.raises(ValueError, match="found 0"):
        overview.placed("before\n", "new")


def test_the_page_holds_the_table_that_the_results_make() -> None:
    text = (ROOT / "docs" / "choose.md").read_text(encoding="utf-8")
    assert render.choose() == text, "docs/choose.md is stale: run python -m benchmarks render"
    assert text.count("\n") < 150
