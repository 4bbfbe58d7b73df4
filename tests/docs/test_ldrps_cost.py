"""The cost tables of docs/ldrps.md are those of benchmarks/results/zeroshot_cost.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ldrps.md").read_text(encoding="utf-8")
RESULT = json.loads((ROOT / "benchmarks" / "results" / "zeroshot_cost.json").read_text(encoding="utf-8"))
MEASURED = {(row["task"], row["run"]): row for row in RESULT["measured"]}
TASKS = ("lowlight", "dehaze", "denoise")
SHOWN = {
    "as published": "published: 450 steps",
    "100 steps": "100 steps",
    "default": "default, 50 steps",
    "25 steps": "25 steps",
    "default, no free run": "default, `free=False`",
    "default, from the photograph": 'default, `begin="input"`',
    "25 steps, from the photograph, no free run": '25 steps, `begin="input"`, `free=False`',
    "12 steps, no free run": "12 steps, `free=False`",
}


@pytest.mark.parametrize("run", SHOWN)
def test_savings_loss_and_quality(run: str) -> None:
    cells = []
    for task in TASKS:
        row, whole = MEASURED[task, run], MEASURED[task, "as published"]
        fewer = whole["GFLOP"] / row["GFLOP"]
        cells.append(f"{fewer:.0f} / {1000 * row['objective']:.2f} / {row['PSNR']:.2f}")
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {SHOWN[run]}"))
    assert line.endswith(" | " + " | ".join(cells) + " |")


def test_the_goal_is_met_where_the_page_says_so() -> None:
    for task, run, fewer in (("lowlight", "default", 28), ("dehaze", "default, from the photograph", 45)):
        row, whole = MEASURED[task, run], MEASURED[task, "as published"]
        assert whole["GFLOP"] > fewer * row["GFLOP"]
        assert row["objective"] <= whole["objective"]
        assert row["PSNR"] >= whole["PSNR"]


@pytest.mark.parametrize(
    ("run", "shown"),
    [("official code", "official code"), ("default", "default: 50 steps"), ("from the photograph", '`begin="input"`')],
)
def test_the_price_on_stable_diffusion(run: str, shown: str) -> None:
    row = next(r for r in RESULT["formula"] if (r["task"], r["run"]) == ("lowlight", run))
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {shown} |"))
    assert f"| {row['denoise']} | {row['decode'] + row['decode_gradient']}" in line
    assert f"| {row['decode_gradient']} | {row['PFLOP']:.2f} |" in line
