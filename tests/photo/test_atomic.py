from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from unveil import photo
from unveil.errors import InputError
from unveil.util import atomic


@pytest.fixture
def found(make: SimpleNamespace) -> photo.Photo:
    return photo.read(make.pillow(make.random((6, 7, 3)), "PNG"))


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "interrupt"]
)
@pytest.mark.parametrize("existing", [False, True])
def test_failure_leaves_the_old_file_and_nothing_else(
    found: photo.Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException, existing: bool
) -> None:
    path = tmp_path / "out.png"
    if existing:
        path.write_bytes(b"the old file")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        photo.write(found, found.pixels, path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == (["out.png"] if existing else [])
    if existing:
        assert path.read_bytes() == b"the old file"


def test_failure_while_encoding_writes_nothing(
    found: photo.Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("unveil.photo.png.encode", fail)
    with pytest.raises(MemoryError):
        photo.write(found, found.pixels, tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


def test_the_reason_is_said(found: photo.Photo, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out\.png: cannot be written \(No such file or directory\)"):
        photo.write(found, found.pixels, tmp_path / "missing" / "out.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        photo.write(found, found.pixels, tmp_path / "folder.png")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_the_file_is_forced_to_disk_before_it_is_renamed(
    found: photo.Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), real_sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("rename"), real_replace(a, b))[1])
    photo.write(found, found.pixels, tmp_path / "out.png")
    assert steps[:2] == ["sync", "rename"]


def test_an_existing_file_is_replaced_and_others_may_read_it(found: photo.Photo, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    photo.write(found, found.pixels, path)
    np.testing.assert_array_equal(photo.read(path).pixels, found.pixels)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240 + ".png")
    atomic.replace(path, b"content")
    assert path.read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 1
