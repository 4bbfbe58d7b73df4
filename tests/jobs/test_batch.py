from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.errors import Cancelled
from unveil.jobs import batch as running
from unveil.jobs.batch import Handling, run
from unveil.jobs.inputs import find
from unveil.jobs.manifest import Row
from unveil.jobs.outputs import Job, plan
from unveil.models import describer
from unveil.models.describer import Description
from unveil.restoration import Restoration
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_experts, tiny_model

save = run_path(str(Path(__file__).with_name("conftest.py")))["save"]
RESTORER = Restorer(tiny_model(), device="cpu")
QUICK = Options(steps=2)


def restored(jobs: list[Job], **settings) -> list[Row]:  # type: ignore[no-untyped-def]
    rows: list[Row] = []
    run(RESTORER, jobs, QUICK, rows.append, **settings)
    return rows


def outputs(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_tree_is_restored_as_one_photograph_at_a_time_would_be(tree: Path, tmp_path: Path) -> None:
    jobs = plan(find([tree], recursive=True), tmp_path / "out")
    rows = restored(jobs)
    assert [(r.status, r.size, r.seed, r.reason) for r in rows] == [("restored", (48, 32), 0, "")] * 4
    assert [r.input for r in rows] == [str(j.source) for j in jobs]
    for job in jobs:
        alone = RESTORER.restore(job.source, QUICK)
        alone.save(tmp_path / f"alone{job.target.suffix}")
        assert (tmp_path / f"alone{job.target.suffix}").read_bytes() == job.target.read_bytes()
        assert rows[0].protocol == alone.protocol
    assert set(outputs(tmp_path / "out")) == {"a.png", "b.JPG", "trip/c.webp", "trip/day 2/d.png"}


def test_the_next_photograph_is_described_while_this_one_is_restored(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Restorer(tiny_experts(), "cpu", "fp32")
    where: list[str] = []
    second = threading.Event()

    class Says:
        speaker = "a test"

        def describe(self, pixels: np.ndarray, dtype: object, restorer: object) -> Description:
            where.append(threading.current_thread().name)
            if len(where) == 2:
                second.set()
            return Description({"noise": 0.5 + float(pixels.mean()) / 3}, "a test", False)

    monkeypatch.setattr(describer, "shipped", Says)
    jobs = plan(find([tree]), tmp_path / "out")
    wanted = [told.restore(job.source, QUICK) for job in jobs]
    where.clear()
    second.clear()
    true = Restorer.restore

    def restore(self: Restorer, image: object, *args: object, **named: Any) -> Restoration:
        assert second.wait(10)  # nobody waits in vain: the second is described before the first is restored
        return true(self, image, *args, **named)

    monkeypatch.setattr(Restorer, "restore", restore)
    rows: list[Row] = []
    run(told, jobs, QUICK, rows.append)
    assert len(where) == 2
    assert all(name.startswith("decode") for name in where)
    for row, job, alone in zip(rows, jobs, wanted, strict=True):
        assert (row.status, row.protocol) == ("restored", alone.protocol)
        alone.save(tmp_path / f"alone{job.target.suffix}")
        assert (tmp_path / f"alone{job.target.suffix}").read_bytes() == job.target.read_bytes()


def test_no_file_stops_the_others(tree: Path, tmp_path: Path) -> None:
    whole = (tree / "a.png").read_bytes()
    bad = {
        "cut.png": whole[: len(whole) // 2], "empty.jpg": b"", "text.jpg": b"hello", "flip.png": whole[:60] + b"\0\0" + whole[62:],
    }  # fmt: skip
    for name, data in bad.items():
        (tree / name).write_bytes(data)
    rows = restored(plan(find([tree, tree / "gone.png", tree / "trip" / "notes.gif"]), tmp_path / "out"))
    assert {Path(r.input).name: r.status for r in rows} == {
        "a.png": "restored", "b.JPG": "restored", **dict.fromkeys([*bad, "gone.png", "notes.gif"], "failed"),
    }  # fmt: skip
    assert all(r.reason and "\n" not in r.reason and "unexpected" not in r.reason for r in rows if r.status == "failed")
    assert set(outputs(tmp_path / "out")) == {"a.png", "b.JPG"}


def test_a_fault_of_ours_is_a_row_too(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = Restorer.restore

    def faulty(self, image, *args, **kwargs):  # type: ignore[no-untyped-def]
        if image.source.endswith("a.png"):
            raise ZeroDivisionError("oh")
        return true(self, image, *args, **kwargs)

    monkeypatch.setattr(Restorer, "restore", faulty)
    rows = restored(plan(find([tree]), tmp_path / "out"))
    assert [r.status for r in rows] == ["failed", "restored"]
    assert rows[0].reason.startswith("unexpected ZeroDivisionError: oh; this is a fault of unveil")


def test_a_format_that_cannot_be_written_is_known_before_the_work(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Restorer, "restore", lambda *_, **__: pytest.fail("restored in vain"))
    (row,) = restored(plan(find([tree / "a.png"]), tmp_path / "x.psd"))
    assert "no format is known for this suffix" in row.reason


def test_a_folder_that_refuses_at_the_end(tree: Path, tmp_path: Path) -> None:
    jobs = plan(find([tree]), tmp_path / "out")
    (tmp_path / "out" / "a.png").mkdir()
    rows = restored(jobs)
    assert [r.status for r in rows] == ["failed", "restored"]
    assert "cannot be written" in rows[0].reason
    assert not list((tmp_path / "out").glob(".*"))


def test_existing_outputs_are_left_alone(tree: Path, tmp_path: Path) -> None:
    jobs = plan(find([tree], recursive=True), tmp_path / "out")
    for kept in (jobs[0], jobs[3]):
        save(kept.target, 9, size=(5, 5))
    precious = jobs[0].target.read_bytes()
    rows = restored(jobs, handling=Handling(skip_existing=True))
    assert [r.status for r in rows] == ["skipped", "restored", "restored", "skipped"]
    assert jobs[0].target.read_bytes() == jobs[3].target.read_bytes() == precious
    assert [r.status for r in restored(jobs)] == ["restored"] * 4


def test_further_pictures_that_are_missing_or_cut_short_are_made(tree: Path, tmp_path: Path) -> None:
    items = find([tree])
    restored(plan(items, tmp_path / "out"))
    jobs = plan(items, tmp_path / "out", extras=["compare"])
    assert [r.status for r in restored(jobs, handling=Handling(skip_existing=True))] == ["restored"] * 2
    assert [r.status for r in restored(jobs, handling=Handling(skip_existing=True))] == ["skipped"] * 2
    picture = jobs[1].extras["compare"]
    picture.write_bytes(picture.read_bytes()[:-20])
    assert [r.status for r in restored(jobs, handling=Handling(skip_existing=True))] == ["skipped", "restored"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, Cancelled])
@pytest.mark.parametrize("at", [0, 2])
def test_a_stop_leaves_the_file_in_hand_untouched_and_going_on_gives_the_same(
    tree: Path, tmp_path: Path, error: type[BaseException], at: int
) -> None:
    whole = plan(find([tree], recursive=True), tmp_path / "whole")
    restored(whole)

    @contextmanager
    def stops(job: Job, number: int, pictures: int) -> Iterator:  # type: ignore[type-arg]
        def callback(step) -> None:  # type: ignore[no-untyped-def]
            if number == at and step.index == 1:
                raise error

        yield callback

    jobs = plan(find([tree], recursive=True), tmp_path / "out")
    rows: list[Row] = []
    with pytest.raises(error):
        run(RESTORER, jobs, QUICK, rows.append, watch=stops)
    assert [r.status for r in rows] == ["restored"] * at + ["stopped"] * (4 - at)
    assert len(outputs(tmp_path / "out")) == at
    assert [r.status for r in restored(jobs, handling=Handling(skip_existing=True))] == ["skipped"] * at + [
        "restored"
    ] * (4 - at)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_the_next_is_decoded_and_the_last_encoded_meanwhile(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second photograph's restoration waits for the third's decoding and for the first's encoding: in turns it would never end."""
    reading, encoded = threading.Event(), threading.Event()
    read, write = photo.read, running.write

    def slow_read(source, *args):  # type: ignore[no-untyped-def]
        if str(source).endswith("c.webp"):
            reading.set()
        return read(source, *args)

    def slow_write(result, job, **settings):  # type: ignore[no-untyped-def]
        try:
            return write(result, job, **settings)
        finally:
            encoded.set()

    monkeypatch.setattr(photo, "read", slow_read)
    monkeypatch.setattr(running, "write", slow_write)

    @contextmanager
    def waits(job: Job, number: int, pictures: int) -> Iterator:  # type: ignore[type-arg]
        if number == 1:
            assert reading.wait(30)
            assert encoded.wait(30)
        yield None

    assert [r.status for r in restored(plan(find([tree], recursive=True), tmp_path / "out"), watch=waits)] == [
        "restored"
    ] * 4


def test_huge_photographs_take_turns(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "IN_FLIGHT", 48 * 32)
    alive = []
    read, write = photo.read, running.write
    monkeypatch.setattr(photo, "read", lambda *a: (alive.append("r"), read(*a))[1])
    monkeypatch.setattr(running, "write", lambda *a, **k: (write(*a, **k), alive.append("w"))[0])
    jobs = plan(find([tree], recursive=True), tmp_path / "out")
    assert [r.status for r in restored(jobs)] == ["restored"] * 4
    assert alive == ["r", "w"] * 4 or all(alive[: i + 1].count("r") - alive[: i + 1].count("w") <= 2 for i in range(8))


def test_extras_and_stripping(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.jpg", exif=exif)
    jobs = plan(find([tmp_path / "in"]), tmp_path / "out", extras=["std", "compare"])
    rows: list[Row] = []
    run(RESTORER, jobs, Options(steps=2, samples=2), rows.append)
    assert [Path(p).name for p in rows[0].outputs] == ["a.jpg", "a_std.png", "a_compare.png"]
    assert photo.read(tmp_path / "out" / "a.jpg").exif is not None
    restored(jobs, handling=Handling(strip=True))
    assert photo.read(tmp_path / "out" / "a.jpg").exif is None


def test_a_jpeg_that_needs_nothing_comes_back_byte_for_byte(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.jpg", quality=40, comment=b"where it was taken")
    own = (tmp_path / "in" / "a.jpg").read_bytes()
    nothing, rows = Options(strength=0.0, steps=2), []
    jobs = plan(find([tmp_path / "in"]), tmp_path / "out")
    run(RESTORER, jobs, nothing, rows.append)
    assert (tmp_path / "out" / "a.jpg").read_bytes() == own
    restored(jobs)
    assert (tmp_path / "out" / "a.jpg").read_bytes() != own, "what was restored is written"
    run(RESTORER, jobs, nothing, rows.append, handling=Handling(strip=True))
    stripped = (tmp_path / "out" / "a.jpg").read_bytes()
    assert b"where it was taken" not in stripped, "metadata that must go is not copied"
    assert np.array_equal(photo.read(stripped).pixels, photo.read(own).pixels)
    (job,) = plan(find([tmp_path / "in"]), tmp_path / "png", ext="png")
    run(RESTORER, [job], nothing, rows.append)
    assert photo.read(job.target).format == "PNG"
