from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from unveil.errors import InputError
from unveil.jobs.inputs import STANDARD, Item, find, is_photograph


def places(items: list[Item]) -> list[str]:
    return [item.place.as_posix() for item in items]


def test_a_folder_gives_its_own_photographs_and_passes_the_rest_over(tree: Path) -> None:
    assert places(find([tree])) == ["a.png", "b.JPG"]


def test_recursive_mirrors_the_tree(tree: Path) -> None:
    found = find([tree], recursive=True)
    assert places(found) == ["a.png", "b.JPG", "trip/c.webp", "trip/day 2/d.png"]
    assert all((tree / item.place) == item.source for item in found)


def test_videos_in_folders_are_passed_over_and_said(tree: Path) -> None:
    for name in ("clip.mp4", "trip/b.mkv", "trip/.hidden.mov"):
        (tree / name).touch()
    said: list[str] = []
    assert "clip.mp4" not in places(find([tree], recursive=True, tell=said.append))
    assert said == [
        f"{tree / 'clip.mp4'} and 1 more: a video, passed over; name it, or a glob with its suffix, to restore it"
    ]


def test_the_output_folder_is_not_searched(tree: Path) -> None:
    shutil.copytree(tree / "trip", tree / "out")
    found = find([tree], recursive=True, leave_out=tree / "out")
    assert places(found) == ["a.png", "b.JPG", "trip/c.webp", "trip/day 2/d.png"]


def test_a_named_file_is_taken_whatever_it_is_and_each_once(tree: Path) -> None:
    given = [tree / "notes.txt", tree / "a.png", tree / "trip" / ".." / "a.png", tree / "gone.png", tree]
    assert places(find(given)) == ["notes.txt", "a.png", "gone.png", "b.JPG"]


def test_links_to_photographs_are_photographs_of_their_own(tree: Path) -> None:
    (tree / "z.png").symlink_to(tree / "a.png")
    assert places(find([tree])) == ["a.png", "b.JPG", "z.png"]
    assert places(find([tree / "z.png", tree / "trip" / ".." / "z.png", tree / "a.png"])) == ["z.png", "a.png"]


def test_links_to_nothing_are_passed_over_and_said(tree: Path) -> None:
    for name in ("k.png", "l.jpg", "notes2.txt", ".m.png"):
        (tree / name).symlink_to(tree / "gone")
    (tree / "n.png").symlink_to(tree / "n.png")
    os.mkfifo(tree / "o.png")
    for given in (tree, tree / "*"):
        said: list[str] = []
        assert places(find([given], tell=said.append)) == ["a.png", "b.JPG"]
        assert said == [
            f"{tree / 'k.png'} and 1 more: a link to a file that is not there, passed over; mend or remove it",
            f"{tree / 'n.png'}: cannot be looked at (Too many levels of symbolic links), passed over",
            f"{tree / 'o.png'}: a pipe or a device, passed over",
        ]
    only = tree / "only"
    only.mkdir()
    (only / "a.png").symlink_to(only / "gone.png")
    said = []
    with pytest.raises(InputError, match="no photograph in"):
        find([only], tell=said.append)
    assert len(said) == 1


def test_globs(tree: Path) -> None:
    assert places(find([tree / "*"])) == ["a.png", "b.JPG"]
    assert places(find([tree / "**" / "*.png"])) == ["a.png", "trip/day 2/d.png"]
    with pytest.raises(InputError, match="matches no file"):
        find([tree / "*.tiff"])


def test_a_glob_does_not_match_the_outputs_below_it(tree: Path) -> None:
    (tree / "out").mkdir()
    shutil.copy(tree / "a.png", tree / "out" / "z.png")
    assert "out/z.png" in places(find([tree / "**" / "*.png"]))
    assert "out/z.png" not in places(find([tree / "**" / "*.png"], leave_out=tree / "out"))
    assert places(find([tree / "out" / "*.png"], leave_out=tree / "out")) == ["z.png"]


def test_a_name_with_glob_characters_is_a_name(tree: Path) -> None:
    (tree / "a.png").rename(tree / "a[1].png")
    assert places(find([tree / "a[1].png"])) == ["a[1].png"]


def test_a_file_without_suffix_is_looked_into(tree: Path) -> None:
    shutil.copy(tree / "a.png", tree / "scan")
    assert is_photograph(tree / "scan")
    assert not is_photograph(tree / "list")
    assert not is_photograph(tree / "gone")


def test_nothing_found_and_standard_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no photograph in .*--recursive"):
        find([tmp_path])
    assert find([Path("-")]) == [Item(STANDARD, Path("stdin"))]
    with pytest.raises(InputError, match="cannot be mixed"):
        find([Path("-"), tmp_path / "a.png"])
