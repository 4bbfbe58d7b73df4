"""Which file belongs to which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unveil.data import pairs
from unveil.data.dataset import photographs
from unveil.data.files import Store
from unveil.data.pairs import in_folders
from unveil.errors import InputError

Write = Callable[..., Path]


def names(found: pairs.Match) -> list[tuple[str, str, str]]:
    return [(key, d.name, c.name) for key, d, c in found.pairs]


def test_equal_stems_whatever_the_suffix_and_the_subfolder(write: Write, tmp_path: Path) -> None:
    for name in ("low/a.png", "low/sub/a.jpg", "low/b.png", "high/a.jpg", "high/sub/a.png", "high/b.bmp"):
        write(name)
    found = in_folders(tmp_path / "low", tmp_path / "high")
    assert names(found) == [("a", "a.png", "a.jpg"), ("b", "b.png", "b.bmp"), ("sub/a", "a.jpg", "a.png")]
    assert found.misfits == []


def test_prefix_and_suffix_patterns(write: Write, tmp_path: Path) -> None:
    for i in (1, 2):
        write(f"hazy/0{i}_outdoor_hazy.png")
        write(f"GT/clear_0{i}_GT.png")
    found = in_folders(tmp_path / "hazy", tmp_path / "GT", degraded_name="*_outdoor_hazy", clean_name="clear_*_GT")
    assert names(found) == [
        ("01", "01_outdoor_hazy.png", "clear_01_GT.png"),
        ("02", "02_outdoor_hazy.png", "clear_02_GT.png"),
    ]


def test_every_misfit_is_listed(write: Write, tmp_path: Path) -> None:
    for name in (
        "low/a.png",
        "low/b.png",
        "low/c.png",
        "low/stray.png",
        "high/a_gt.png",
        "high/c_gt.png",
        "high/c_gt.jpg",
    ):
        write(name)
    write("high/d_gt.png")
    write("high/other.png")
    found = in_folders(tmp_path / "low", tmp_path / "high", degraded_name="*", clean_name="*_gt")
    assert names(found) == [("a", "a.png", "a_gt.png")]
    text = " | ".join(found.misfits)
    for part in (
        "b.png has no partner",
        "c.png has 2 partners",
        "stray.png has no partner",
        "d_gt.png has no degraded version",
    ):
        assert part in text
    assert "other.png is not called *_gt" in text
    assert len(found.misfits) == 5


def test_sizes_are_compared_from_headers(write: Write, tmp_path: Path) -> None:
    write("low/a.png", 10, 12), write("high/a.png", 10, 12)
    write("low/b.png", 10, 12), write("high/b.png", 12, 10)
    write("low/c.png", 10, 12), write("high/c.png", 20, 24)
    match = in_folders(tmp_path / "low", tmp_path / "high")
    found, misfits = photographs(match, Store())
    assert [p.name for p in found] == ["a"]
    assert len(misfits) == 2
    assert "b.png is 12 x 10 pixels but its partner b.png is 10 x 12" in misfits[0]
    found, misfits = photographs(match, Store(), enlarge=True)  # twice as large is expected, turned is not
    assert [p.name for p in found] == ["a", "c"]
    assert found[1].degraded is not None
    assert found[1].degraded.pixels().shape == (20, 24, 3)
    assert len(misfits) == 1


def test_order_only_on_request_and_only_for_equal_numbers(write: Write, tmp_path: Path) -> None:
    for name in ("low/x1.png", "low/x2.png", "high/y1.png", "high/y2.png"):
        write(name)
    assert in_folders(tmp_path / "low", tmp_path / "high").pairs == []
    assert names(in_folders(tmp_path / "low", tmp_path / "high", rule="order")) == [
        ("x1", "x1.png", "y1.png"),
        ("x2", "x2.png", "y2.png"),
    ]
    write("low/x3.png")
    assert "3 degraded images against 2" in in_folders(tmp_path / "low", tmp_path / "high", rule="order").misfits[0]
    with pytest.raises(InputError, match="stem, order"):
        in_folders(tmp_path / "low", tmp_path / "high", rule="sorted")


@pytest.mark.parametrize("name", ["hazy", "*_*", ""])
def test_a_pattern_needs_one_star(name: str) -> None:
    with pytest.raises(InputError, match="exactly one"):
        pairs.pattern(name, "clean_name")


def test_a_list_of_misfits_has_its_count_and_twenty_of_them() -> None:
    text = pairs.listed([f"{i:02d}.png" for i in range(25)])
    assert text.startswith("25 misfits: 00.png; ")
    assert text.endswith("19.png; and 5 more")
