"""Two runs on one output folder, and what makes an output a finished one."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.cli import main
from unveil.errors import InputError
from unveil.jobs import batch as running
from unveil.jobs.batch import Handling, run
from unveil.jobs.finished import finished
from unveil.jobs.inputs import find
from unveil.jobs.manifest import Row
from unveil.jobs.outputs import Job, Leftovers, claim, folds_case, plan
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_model

save = run_path(str(Path(__file__).with_name("conftest.py")))["save"]
RESTORER = Restorer(tiny_model(), device="cpu")
QUICK = Options(steps=2)


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob(".*"))


@pytest.mark.parametrize("skip", [True, False])
def test_two_runs_divide_the_work(tree: Path, tmp_path: Path, skip: bool) -> None:
    """The second begins while the first restores its first photograph, and does all others."""
    jobs = plan(find([tree], recursive=True), tmp_path / "out")
    first: list[Row] = []
    second: list[Row] = []
    handling = Handling(skip_existing=skip)

    @contextmanager
    def meanwhile(job: Job, number: int, pictures: int) -> Iterator[None]:
        if not second:
            run(RESTORER, jobs[::-1], QUICK, second.append, handling=handling)
        yield None

    run(RESTORER, jobs, QUICK, first.append, handling=handling, watch=meanwhile)
    # The first has the first photograph, and the second, which it decodes ahead.
    assert [(r.status, "another run" in r.reason) for r in second[:2]] == [("restored", False)] * 2
    assert [(r.status, "another run" in r.reason) for r in second[2:]] == [("skipped", True)] * 2
    done = [Path(r.input).name for r in (*first, *second) if r.status == "restored"]
    if skip:
        assert sorted(done) == ["a.png", "b.JPG", "c.webp", "d.png"]
    assert hidden(tmp_path / "out") == []


def test_a_claim_is_one_processs_and_ends_with_it(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    mine = claim(target)
    assert mine is not None
    assert claim(target) is None
    other = [sys.executable, "-c", "import sys; from pathlib import Path; from unveil.jobs.outputs import claim; "
             "c = claim(Path(sys.argv[1])); print(c is not None, flush=True); sys.stdin.read()", str(target)]  # fmt: skip
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "False\n"  # type: ignore[union-attr]
        process.kill()
    mine.give_back()
    assert hidden(tmp_path) == []
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"  # type: ignore[union-attr]
        assert claim(target) is None
        process.kill()
    assert len(hidden(tmp_path)) == 1
    Leftovers([Job(tmp_path / "x.png", tmp_path / "b.png", {})])
    assert hidden(tmp_path) == []


def test_live_temporary_files_of_another_run_are_left(tmp_path: Path) -> None:
    jobs = [Job(save(tmp_path / "in" / f"{n}.png", n), tmp_path / "out" / f"{n}.png", {}) for n in range(2)]
    (tmp_path / "out").mkdir()
    live, dead = (
        tmp_path / "out" / ".0.png.0123456789ab.unveil-tmp",
        tmp_path / "out" / ".1.png.0123456789ab.unveil-tmp",
    )
    live.touch()
    dead.touch()
    theirs = claim(jobs[0].target)
    assert theirs is not None
    rows: list[Row] = []
    run(RESTORER, jobs, QUICK, rows.append)
    assert [r.status for r in rows] == ["restored", "skipped"]
    assert live.exists()
    assert not dead.exists()
    theirs.give_back()


def test_sweeping_lists_each_folder_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = plan(find([tree], recursive=True), tmp_path / "out")
    listed: list[str] = []
    scan = os.scandir
    monkeypatch.setattr("unveil.jobs.outputs.os.scandir", lambda path: (listed.append(str(path)), scan(path))[1])
    run(RESTORER, jobs, QUICK, lambda row: None)
    assert len([p for p in listed if p.startswith(str(tmp_path / "out"))]) == len({j.target.parent for j in jobs})


def test_a_row_is_told_before_the_next_photograph_is_done(tree: Path, tmp_path: Path) -> None:
    """While the second is restored, the first one's file and row are there."""
    jobs, rows = plan(find([tree]), tmp_path / "out"), list[Row]()

    @contextmanager
    def waits(job: Job, number: int, pictures: int) -> Iterator[None]:
        if number == 1:
            limit = time.monotonic() + 20
            while not rows and time.monotonic() < limit:
                time.sleep(0.01)
            assert [r.status for r in rows] == ["restored"]
        yield None

    run(RESTORER, jobs, QUICK, rows.append, watch=waits)
    assert [r.status for r in rows] == ["restored"] * 2


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif", ".gif", ".ppm", ".pfm", ".jp2", ".j2k", ".jxl"]
)
def test_a_truncated_output_is_not_a_finished_one(tmp_path: Path, suffix: str) -> None:
    if suffix == ".jxl":
        pytest.importorskip("pillow_jxl")
    source, target = save(tmp_path / "a.png", 1), tmp_path / f"b{suffix}"
    photo.write(photo.read(source), photo.read(source).pixels, target)
    assert finished(source, target)
    whole = target.read_bytes()
    for share in (0, 0.3, 0.7, 0.99):
        target.write_bytes(whole[: int(len(whole) * share)])
        assert not finished(source, target), share
    target.write_bytes(b"no picture at all")
    assert not finished(source, target)
    target.unlink()
    assert not finished(source, target)
    target.mkdir()
    assert not finished(source, target)


def test_an_output_older_than_its_photograph_is_made_again(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    (job,) = plan(find([source]), tmp_path / "out", folder=True)
    statuses = []
    for age in (None, 10, -10):
        if age is not None:
            os.utime(job.target, (source.stat().st_mtime + age,) * 2)
        run(RESTORER, [job], QUICK, lambda row: statuses.append(row.status), handling=Handling(skip_existing=True))
    assert statuses == ["restored", "skipped", "restored"]


def test_streams_and_motion_photos_are_finished(tmp_path: Path) -> None:
    """Streams have no mark of their end; a motion photo's clip stands behind its picture."""
    (source := tmp_path / "source.jpg").touch()
    starts = {
        "ts": (b"\x47" + bytes(187)) * 4,
        "mts": (bytes(4) + b"\x47" + bytes(187)) * 4,
        "mpg": b"\0\0\1\xba" + bytes(90),
    }
    starts["wmv"] = bytes.fromhex("3026b2758e66cf11") + bytes(90)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), 90).save(buffer, "JPEG")
    starts["jpg"] = buffer.getvalue() + bytes(200_000)
    for suffix, data in starts.items():
        (target := tmp_path / f"out.{suffix}").write_bytes(data)
        assert finished(source, target), suffix
    target.write_bytes(buffer.getvalue()[:-40] + bytes(200_000))
    assert not finished(source, target)


def test_times_are_kept_and_count_as_finished(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    os.utime(source, ns=(10**18, 10**18 + 7))
    (job,) = plan(find([source]), tmp_path / "out", folder=True, extras=["compare"])
    rows: list[Row] = []
    handling = Handling(skip_existing=True, keep_times=True)
    for _ in range(2):
        run(RESTORER, [job], QUICK, rows.append, handling=handling)
    assert [r.status for r in rows] == ["restored", "skipped"]
    assert [p.stat().st_mtime_ns for p in (job.target, *job.extras.values())] == [10**18 + 7] * 2


def test_a_full_disk_stops_the_run_before_more_is_computed(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, rows = plan(find([tree], recursive=True), tmp_path / "out"), list[Row]()
    told = threading.Event()

    def full(*args: object, **settings: object) -> None:
        raise InputError("no") from OSError(errno.ENOSPC, "No space left on device")

    @contextmanager
    def waits(job: Job, number: int, pictures: int) -> Iterator[Callable | None]:  # type: ignore[type-arg]
        assert number < 2
        yield None if number == 0 else lambda step: told.wait(20) and None

    def report(row: Row) -> None:
        rows.append(row)
        told.set()

    monkeypatch.setattr(running, "write", full)
    with pytest.raises(OSError, match=r"takes no more files .*No space left.*--skip-existing"):
        run(RESTORER, jobs, QUICK, report, watch=waits)
    assert [r.status for r in rows] == ["failed", "stopped", "stopped", "stopped"]
    assert hidden(tmp_path / "out") == []


def test_what_cannot_be_an_output_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = find([save(tmp_path / "in" / "a.png")])
    with pytest.raises(InputError, match="longer than file systems take"):
        plan(item, tmp_path / "out", folder=True, suffix="x" * 260)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unveil.jobs.outputs.tried", full)
    with pytest.raises(InputError, match=r"cannot be written to .No space left"):
        plan(item, tmp_path / "out2", folder=True)


def test_capitals_alone_do_not_tell_outputs_apart_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = find([save(tmp_path / "in" / name) for name in ("a.png", "A.png")])
    assert not folds_case(tmp_path)
    assert len(plan(items, tmp_path / "out")) == 2
    monkeypatch.setattr("unveil.jobs.outputs.folds_case", lambda folder: True)
    with pytest.raises(InputError, match="would both be written"):
        plan(items, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "folder"), [("name.v2", True), ("2024.06", True), ("album", True), ("x.gif", False), ("x.dng", False), ("x.PNG", False)]
)  # fmt: skip
def test_a_name_with_a_dot_may_be_a_folder(tmp_path: Path, name: str, folder: bool) -> None:
    (job,) = plan(find([save(tmp_path / "in" / "a.png")]), tmp_path / name)
    assert job.target == (tmp_path / name / "a.png" if folder else tmp_path / name)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
@pytest.mark.parametrize("lines", [[], ["--json"]])
def test_names_that_are_not_text_are_restored_and_told(tmp_path: Path, model_file: Path, lines: list[str]) -> None:
    source = save(tmp_path / "in" / "a.png")
    source.rename(source.with_name(os.fsdecode(b"caf\xe9.png")))
    command = [sys.executable, "-m", "unveil.cli", "restore", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-n", str(model_file),
               "--manifest", str(tmp_path / "m.jsonl"), "--steps", "2", "--device", "cpu", *lines]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONIOENCODING": "ascii",
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(command, capture_output=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert [os.fsencode(p.name) for p in (tmp_path / "out").iterdir()] == [b"caf\xe9.png"]
    row = json.loads((tmp_path / "m.jsonl").read_text())
    assert os.fsencode(row["output"]).endswith(b"caf\xe9.png")
    if lines:
        assert json.loads(ran.stdout) == row


def test_linked_folders_are_said_or_followed_and_loops_end(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "elsewhere" / "far.png", 5)
    (tree / "trip" / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "trip" / "loop").symlink_to(tree)
    said: list[str] = []
    usual = [i.place.as_posix() for i in find([tree], recursive=True, tell=said.append)]
    assert len(usual) == 4
    assert len(said) == 1
    assert "link and 1 more: a link to a folder" in said[0]
    found = [i.place.as_posix() for i in find([tree], recursive=True, follow_links=True, tell=said.append)]
    assert found == ["a.png", "b.JPG", "trip/c.webp", "trip/day 2/d.png", "trip/link/far.png"]
    assert len(said) == 1


STOPPED = """
import os, signal, sys, threading, time
from pathlib import Path
import unveil.jobs.batch as running
from unveil.jobs.outputs import Job
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_model
first, root = sys.argv[1], Path(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts this in the background has it ignored
write = running.write
def slow(*args, **settings):
    time.sleep(0.5)
    return write(*args, **settings)
running.write = slow
jobs = [Job(root / "a.png", root / f"out{n}.png", {}) for n in range(6)]
def kill():
    for _ in range(2):
        os.kill(os.getpid(), getattr(signal, first))
        time.sleep(0.1)
def watch(job, number, pictures):
    from contextlib import nullcontext
    if number == 1:
        threading.Thread(target=kill, daemon=True).start()
    return nullcontext(lambda step: time.sleep(2) if number >= 2 else None)
try:
    running.run(Restorer(tiny_model(), "cpu"), jobs, Options(steps=2), lambda row: print(row.status, flush=True), watch=watch)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_two_stops_end_cleanly(tmp_path: Path, name: str) -> None:
    save(tmp_path / "a.png")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", STOPPED, name, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=100,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    told = ran.stdout.split()
    assert told.count("interrupted") == 1  # the row of a file that was being written may be told after it
    assert len(told) == 7
    assert told.count("restored") == len(list(tmp_path.glob("out*"))) >= 1
    assert told.count("stopped") == 6 - told.count("restored")
    assert hidden(tmp_path) == []


def test_signals_are_as_they_were(tree: Path, tmp_path: Path) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    run(RESTORER, plan(find([tree]), tmp_path / "out"), QUICK, lambda row: None)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_from_the_command_line(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", ns=(10**18, 10**18))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    fixed = [
        "-n",
        str(model_file),
        "--device",
        "cpu",
        "--steps",
        "1",
        "--recursive",
        "-o",
        str(tmp_path / "in" / "out.v2"),
    ]
    assert main(["restore", str(tmp_path / "in"), *fixed]) == 2
    assert "--follow-links" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "in"), *fixed, "--follow-links", "--keep-times"]) == 0
    assert (tmp_path / "in" / "out.v2" / "link" / "a.png").stat().st_mtime_ns == 10**18
