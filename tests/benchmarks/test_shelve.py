"""Weights and numbers reach the shelf, and only numbers of these very weights do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recipes import shelve
from unveil.models import weights_file


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the manifest, and a folder of weights that is empty."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text(shelve.MANIFEST.read_text())
    monkeypatch.setattr(shelve, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(shelve, "MANIFEST", manifest)
    return tmp_path


def entries(shelf: Path) -> dict[str, Any]:
    return json.loads((shelf / "manifest.json").read_text())


def test_a_model_is_copied_with_its_defaults_and_its_entry(shelf: Path) -> None:
    before = entries(shelf)
    given = Path(shelve.unveil.models.__file__).parent / "weights" / before["general"]["file"]
    shelve.shelve(given, "what it is for", {"fidelity": 0.25}, ("ab" * 32, 7))
    entry, model = entries(shelf)["general"], weights_file.read(shelf / "weights" / "general.safetensors")
    assert model.spec.defaults.fidelity == 0.25
    assert (model.sha256, entry["summary"]) == (entry["sha256"], "what it is for")
    assert entry["started_from"] == {"sha256": "ab" * 32, "steps": 7}
    for key in ("training_data", "recipe", "seed", "steps", "parameters", "method", "specialists"):
        assert entry[key] == before["general"][key], key
    assert {k: v for k, v in entries(shelf).items() if k != "general"} == {
        k: v for k, v in before.items() if k != "general"
    }


@pytest.mark.parametrize("take", [shelve.reach, shelve.numbers])
def test_numbers_are_taken_over_from_these_weights_alone(shelf: Path, take: Any) -> None:
    changed = entries(shelf)
    changed["general"]["sha256"] = "0" * 64
    shelve.save(changed)
    with pytest.raises(SystemExit, match="other weights"):
        take("general")
    assert entries(shelf) == changed


def test_a_calibration_of_a_smoke_test_is_refused(shelf: Path) -> None:
    with pytest.raises(SystemExit, match="quick"):
        shelve.calibrations({"protocol": {"quick": True}, "rows": {}})
