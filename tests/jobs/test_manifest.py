from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from unveil.errors import InputError
from unveil.jobs.manifest import Manifest, Row

ROW = Row("ä.png", "out/ä.png", "restored", size=(3, 2), protocol={"steps": 5})
LINE = ROW.to_json().encode() + b"\n"


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_row_is_on_disk_before_the_next_begins_and_runs_append(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.jsonl"
    with Manifest(path) as manifest:
        manifest.add(ROW)
        assert rows(path) == [json.loads(ROW.to_json())]
        assert rows(path)[0]["size"] == [3, 2]
    with Manifest(path) as manifest:
        manifest.add(ROW)
    assert len(rows(path)) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [(LINE + b'{"in', LINE), (b'{"in', b""), (b'{"input": "a.p', b""), (b"", b""), (LINE, LINE)],
)
def test_a_line_cut_short_by_a_kill_is_removed(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(before)
    with Manifest(path):
        pass
    assert path.read_bytes() == after


@pytest.mark.parametrize(
    "other",
    [b"\xff\xd8\xff\xe0 a photograph\nand more", b"a list of mine", b"[1]\n", b"1\n{}\n", b'{"x": 1}\n', b'{"x'],
)
def test_a_file_that_is_no_manifest_is_left_as_it_is(tmp_path: Path, other: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(other)
    with pytest.raises(InputError, match=r"photo\.jpg: is there already and is no manifest"):
        Manifest(path)
    assert path.read_bytes() == other


def test_names_that_are_not_unicode_do_not_stop_a_run(tmp_path: Path) -> None:
    with Manifest(tmp_path / "m.jsonl") as manifest:
        manifest.add(Row("\udcff.png", "x", "failed"))
    (row,) = rows(tmp_path / "m.jsonl")
    assert os.fsencode(row["input"]) == b"\xff.png"


def test_a_full_disk_names_the_manifest(tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self.write(b"")

    kept = Manifest(tmp_path / "m.jsonl")
    kept._file.close()  # type: ignore[union-attr]
    kept._file = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match=r"m\.jsonl: the manifest cannot be written any more"), kept:
        kept.add(ROW)


def test_no_path_keeps_nothing_and_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    with Manifest(None) as manifest:
        manifest.add(ROW)
    with pytest.raises(InputError, match="manifest cannot be written"):
        Manifest(tmp_path)
