"""The tables of fine-tuning in docs/train.md are the measured ones, and every preset stands on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import finetune
from unveil.training.config import presets

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")


def test_the_tables_of_fine_tuning_are_the_measured_ones_and_show_a_gain() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "finetune.json").read_text(encoding="utf-8"))
    facts = finetune.facts(result)
    for kit in result["kits"]:
        assert str(facts[f"table.{kit}"]).strip() in PAGE, kit
    # Beyond two standard errors on damage that the shipped model never saw, both ways.
    assert facts["faded.whole.sure"].mean > 0
    assert facts["faded.head.sure"].mean > 0
    assert result["protocol"]["sha256"][:12] in PAGE


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
