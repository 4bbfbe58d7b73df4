"""Making many files, and super-resolution pairs."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.data.files import build, decode, save_png, work
from unveil.errors import InputError

Write = Callable[..., Path]


def test_a_file_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((4, 5, 3), 7, np.uint8)
    save_png(tmp_path / "new" / "a.png", pixels)
    assert np.array_equal(decode(tmp_path / "new" / "a.png"), pixels)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_png(tmp_path / "new" / "b.png", pixels)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


def test_user_errors_are_collected_and_others_end_the_work() -> None:
    def make(i: int) -> bool:
        if i == 2:
            raise InputError("two is odd")
        return i > 2

    outcome = work(range(5), make, 2)
    assert (outcome.made, outcome.there, outcome.failed) == (2, 2, ["two is odd"])

    def broken(_: int) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        work(range(5), broken, 2)


def test_super_resolution_pairs_on_disk(write: Write, tmp_path: Path) -> None:
    write("hr/0001.png", 21, 30, seed=1)
    write("hr/more/0002.png", 16, 16, seed=2)
    Image.new("RGB", (2, 2)).save(tmp_path / "hr" / "tiny.png")
    outcome = build(tmp_path / "hr", tmp_path / "out", 4)
    small = tmp_path / "hr" / "tiny.png"
    assert (outcome.made, outcome.failed) == (2, [f"{small}: an image of 2 x 2 pixels cannot be reduced 4 times"])
    assert (
        decode(tmp_path / "out/degraded/more/0002.png").shape
        == decode(tmp_path / "out/clean/more/0002.png").shape
        == (16, 16, 3)
    )
    assert decode(tmp_path / "out/clean/0001.png").shape == (20, 28, 3)
    assert build(tmp_path / "hr", tmp_path / "out", 4).there == 2


@pytest.mark.parametrize("output", ["hr/x4", "hr"])
def test_pairs_are_not_made_of_pairs(write: Write, tmp_path: Path, output: str) -> None:
    write("hr/0001.png", 16, 16, seed=1)
    write("hr/clean_too/0002.png", 16, 16, seed=2)
    assert build(tmp_path / "hr", tmp_path / output, 4).made == 2
    again = build(tmp_path / "hr/../hr", tmp_path / output, 4)
    assert (again.made, again.there) == (0, 2)


def test_two_photographs_of_one_name_or_two_scales_are_not_mixed(write: Write, tmp_path: Path) -> None:
    write("hr/0001.png", 16, 16, seed=1)
    build(tmp_path / "hr", tmp_path / "out", 4)
    with pytest.raises(InputError, match="scale of super-resolution must be 2 or more, got 0"):
        build(tmp_path / "hr", tmp_path / "none", 0)
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match=r"made otherwise \(scale 4 -> 2\)"):
        build(tmp_path / "hr", tmp_path / "out", 2)
    assert build(tmp_path / "hr", tmp_path / "out", 4).there == 1
    Image.new("RGB", (16, 16)).save(tmp_path / "hr" / "0001.jpg")
    with pytest.raises(InputError, match=r"0001\.jpg and .*0001\.png would both be written as 0001\.png"):
        build(tmp_path / "hr", tmp_path / "new", 4)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", ["clean", "degraded", "clean/below"])
def test_photographs_are_not_written_over_by_their_own_pairs(write: Write, tmp_path: Path, place: str) -> None:
    photo = write(f"data/{place}/a.png", 64, 48, seed=1)
    before = photo.read_bytes()
    with pytest.raises(InputError, match="would be written over by its own pairs; name another output"):
        build(photo.parent, tmp_path / "data", 2)
    assert photo.read_bytes() == before
