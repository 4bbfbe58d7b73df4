"""The count of blind words: the key turns sides into better, same and worse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import blind

KEY = {
    "001": {"photograph": "RealSRSet/a.png", "after": "A", "unchanged": False, "found": {}},
    "002": {"photograph": "RealSRSet/b.png", "after": "B", "unchanged": False, "found": {}},
    "003": {"photograph": "old_photos/c.png", "after": "A", "unchanged": True, "found": {}},
    "004": {"photograph": "old_photos/d.png", "after": "A", "unchanged": False, "found": {}},
}


def folder(place: Path, *eyes: dict[str, str]) -> Path:
    (place / "key.json").write_text(json.dumps({"sha256": "ab" * 32, "photographs": KEY}))
    for i, words in enumerate(eyes, start=1):
        (place / f"eye_{i}.json").write_text(json.dumps(words))
    return place


def test_sides_become_words(tmp_path: Path) -> None:
    result = blind.count(
        folder(tmp_path, {"001": "A", "002": "A", "004": "same"}, {"001": "B", "002": "A", "004": "A"})
    )
    assert result["eyes"] == [
        {
            "RealSRSet/a.png": "better",
            "RealSRSet/b.png": "worse",
            "old_photos/c.png": "same",
            "old_photos/d.png": "same",
        },
        {
            "RealSRSet/a.png": "worse",
            "RealSRSet/b.png": "worse",
            "old_photos/c.png": "same",
            "old_photos/d.png": "better",
        },
    ]
    facts = blind.facts(result)
    assert [float(facts[w].values[0]) for w in blind.WORDS] == pytest.approx([25.0, 37.5, 37.5])
    assert facts["worse.names"] == "RealSRSet/b.png"
    assert facts["unchanged"] == "1"


def test_a_photograph_without_a_word_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="002"):
        blind.count(folder(tmp_path, {"001": "A", "004": "B"}))
