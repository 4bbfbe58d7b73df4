from __future__ import annotations

from pathlib import Path

import pytest

from unveil.errors import InputError, UnveilWarning
from unveil.evaluation.reading import match_folders


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_stems_pair_across_extensions_and_folders_and_leftovers_are_listed(tmp_path: Path) -> None:
    left = touch(tmp_path / "p", "b.png", "a.JPG", "only.png", "deep/c.png", "notes.txt", ".hidden.png", ".x/d.png")
    right = touch(tmp_path / "t", "a.png", "b.tif", "deep/c.jpg", "lonely.png", "c.png")
    found = match_folders(left, right)
    assert [(p.name, p.prediction.name, p.target.name) for p in found.pairs] == [
        ("a", "a.JPG", "a.png"),
        ("b", "b.png", "b.tif"),
        ("deep/c", "c.png", "c.jpg"),
    ]
    assert [p.name for p in found.predictions_left] == ["only.png"]
    assert [p.name for p in found.targets_left] == ["c.png", "lonely.png"]
    assert found.rule == "equal stem"


def test_whatever_restore_writes_is_found_and_what_is_no_file_is_not_dropped(tmp_path: Path) -> None:
    left = touch(tmp_path / "p", "a.jp2", "b.gif", "c.jxl", "d.pgm")
    right = touch(tmp_path / "t", "a.png", "b.png", "c.png", "d.png", "e.png")
    (left / "e.png").symlink_to(tmp_path / "gone.png")
    assert [p.prediction.name for p in match_folders(left, right).pairs] == [
        "a.jp2",
        "b.gif",
        "c.jxl",
        "d.pgm",
        "e.png",
    ]
    touch(right, "a.dng", "x.NEF")
    with pytest.warns(UnveilWarning, match=r"a\.dng and 1 more: a camera's own file, passed over; develop it"):
        assert len(match_folders(left, right).pairs) == 5


def test_suffixes_are_left_out(tmp_path: Path) -> None:
    left = touch(tmp_path / "p", "a_real.jpg", "b_real.jpg")
    right = touch(tmp_path / "t", "a_mean.jpg", "b_mean.jpg")
    found = match_folders(left, right, prediction_suffix="_real", target_suffix="_mean")
    assert [p.name for p in found.pairs] == ["a", "b"]
    assert "_real" in found.rule


def test_names_tell_extensions_apart_where_stems_are_claimed_twice(tmp_path: Path) -> None:
    left = touch(tmp_path / "p", "a.png", "a.jpg")
    right = touch(tmp_path / "t", "a.png", "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg and a\.png in .*p both claim 'a'"):
        match_folders(left, right)
    assert [p.name for p in match_folders(left, right, match="name").pairs] == ["a.jpg", "a.png"]
    with pytest.raises(InputError, match="rule 'stem' only"):
        match_folders(left, right, match="name", target_suffix="_x")


def test_order_wants_equal_counts(tmp_path: Path) -> None:
    left, right = touch(tmp_path / "p", "x.png", "y.png"), touch(tmp_path / "t", "1.png", "2.png")
    found = match_folders(left, right, match="order")
    assert [(p.prediction.name, p.target.name) for p in found.pairs] == [("x.png", "1.png"), ("y.png", "2.png")]
    touch(right, "3.png")
    with pytest.raises(InputError, match=r"they hold \[2, 3\]"):
        match_folders(left, right, match="order")


def test_two_files_are_a_pair(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.png", "b.png")
    assert len(match_folders(folder / "a.png", folder / "b.png").pairs) == 1


def test_masks_join_by_the_same_rule_and_must_be_there(tmp_path: Path) -> None:
    left, right = touch(tmp_path / "p", "a.png", "b.png"), touch(tmp_path / "t", "a.png", "b.png")
    masks = touch(tmp_path / "m", "a_mask.png")
    with pytest.raises(InputError, match=r"1 of 2 pairs have no mask.*first is b"):
        match_folders(left, right, masks=masks, mask_suffix="_mask")
    touch(masks, "b_mask.png")
    found = match_folders(left, right, masks=masks, mask_suffix="_mask")
    assert [p.mask.name for p in found.pairs if p.mask] == ["a_mask.png", "b_mask.png"]


def test_nothing_in_common_missing_folders_and_unknown_rules(tmp_path: Path) -> None:
    left, right = touch(tmp_path / "p", "a.png"), touch(tmp_path / "t", "b.png")
    with pytest.raises(InputError, match=r"no image of .*'a' against 'b'"):
        match_folders(left, right)
    with pytest.raises(InputError, match="is not a folder"):
        match_folders(left, tmp_path / "absent")
    with pytest.raises(InputError, match="known: stem, name, order"):
        match_folders(left, right, match="guess")  # type: ignore[arg-type]
