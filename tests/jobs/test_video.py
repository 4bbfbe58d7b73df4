"""`run` and `unveil restore` on videos."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from unveil.cli import main
from unveil.diffusion.sampling import Progress
from unveil.errors import InputError
from unveil.jobs import video
from unveil.jobs.batch import Handling, run
from unveil.jobs.inputs import find
from unveil.jobs.manifest import Row
from unveil.jobs.outputs import Job, plan
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_model
from unveil.video import Clip, Frame, Writer

RESTORER = Restorer(tiny_model(), device="cpu")
QUICK = Options(steps=2)
ALL = 10**9


def save(path: Path, pictures: list[np.ndarray]) -> Path:
    """A video without any loss, 10 frames a second."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for n, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = n, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What is handed to the encoder, frame by frame."""
    seen: list[np.ndarray] = []
    add = Writer.add
    monkeypatch.setattr(Writer, "add", lambda self, frame: (seen.append(frame.pixels.copy()), add(self, frame))[1])
    return seen


def restored(jobs: list[Job], **settings) -> list[Row]:  # type: ignore[no-untyped-def]
    rows: list[Row] = []
    run(RESTORER, jobs, QUICK, rows.append, **settings)
    return rows


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file()}


def test_a_still_clip_gives_identical_frames(tmp_path: Path, given: list[np.ndarray]) -> None:
    source = save(tmp_path / "still.mkv", [noise(0)] * 4)
    (row,) = restored(plan(find([source]), tmp_path / "out.mp4"))
    assert (row.status, row.size, row.seed, row.protocol["steps"]) == ("restored", (48, 32), 0, 2)
    assert len(given) == 4
    assert all(np.array_equal(given[0], other) for other in given[1:])
    assert np.array_equal(given[0], RESTORER.restore(noise(0), QUICK).image), (
        "a frame is restored as a photograph would be"
    )
    with Clip(tmp_path / "out.mp4", ALL) as clip:
        assert [item.at * clip.time_base for item in clip if isinstance(item, Frame)] == [
            Fraction(n, 10) for n in range(4)
        ]


def test_a_moving_clip_moves(tmp_path: Path, given: list[np.ndarray]) -> None:
    restored(plan(find([save(tmp_path / "a.mkv", [noise(n) for n in range(3)])]), tmp_path / "b.mkv"))
    assert np.array_equal(given[2], RESTORER.restore(noise(2), QUICK).image)


def test_every_frame_of_a_shot_is_restored_by_what_was_decided_for_it(
    tmp_path: Path, given: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last frame of a shot too, which stands next to one that another model restores."""
    other = Restorer(tiny_model(seed=7), device="cpu")

    class Decided:
        def of(self, frame: int) -> tuple[Restorer, Options]:
            return (RESTORER, QUICK) if frame < 2 else (other, replace(QUICK, seed=3))

        def notes(self) -> list[str]:
            return []

        def is_said(self, note: str) -> bool:
            return False

        def protocol(self) -> dict[str, object]:
            return {}

    monkeypatch.setattr(video, "_decided", lambda *_: Decided())
    restored(plan(find([save(tmp_path / "a.mkv", [noise(n) for n in range(4)])]), tmp_path / "b.mkv"))
    wanted = [
        *(RESTORER.restore(noise(n), QUICK) for n in (0, 1)),
        *(other.restore(noise(n), QUICK, seed=3) for n in (2, 3)),
    ]
    assert [np.array_equal(made, want.image) for made, want in zip(given, wanted, strict=True)] == [True] * 4


def test_bad_videos_are_rows_among_others_and_photographs_too(tmp_path: Path) -> None:
    from PIL import Image

    good = save(tmp_path / "in" / "good.mkv", [noise(1)] * 2)
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    Image.fromarray(noise(2)).save(tmp_path / "in" / "photo.png")
    given = [tmp_path / "in" / "bad.mp4", good, tmp_path / "in" / "photo.png"]
    rows = restored(plan(find(given), tmp_path / "out", ext="jpg", extras=["compare"]), handling=Handling(ext="jpg"))
    assert [r.status for r in rows] == ["failed", "restored", "restored"]
    assert "bad.mp4: cannot be read as a video" in rows[0].reason
    assert "no further pictures are made of a video" in rows[1].notes
    assert "written as mkv, since a clip is not written as jpg here" in rows[1].notes
    assert files(tmp_path / "out") == {"good.mkv", "photo.jpg", "photo_compare.png"}
    again = restored(plan(find(given), tmp_path / "out", ext="jpg"), handling=Handling(skip_existing=True))
    assert [r.status for r in again] == ["failed", "skipped", "skipped"]


def test_videos_are_taken_where_they_are_named(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(noise(2)).save(tmp_path / "photo.png")
    for name in ("a.mp4", "b.MOV", ".c.mp4"):
        (tmp_path / name).write_bytes(b"x")

    def names(*given: str) -> list[str]:
        return [item.source.name for item in find([tmp_path / g for g in given])]

    assert names("") == ["photo.png"]
    assert names("*") == ["photo.png"]
    assert names("*.mp4") == ["a.mp4"]
    assert names("b.MOV") == ["b.MOV"]


@pytest.mark.parametrize("at", [1, 5])
def test_an_interruption_leaves_no_half_file(tmp_path: Path, at: int) -> None:
    source = save(tmp_path / "in" / "a.mkv", [noise(n) for n in range(4)])
    jobs = plan(find([source]), tmp_path / "out" / "a.mkv")
    (tmp_path / "out" / "a.mkv").write_bytes(b"the old file")
    steps: list[Progress] = []

    @contextmanager
    def stops(job: Job, number: int, pictures: int) -> Iterator:  # type: ignore[type-arg]
        assert pictures == 4

        def callback(step: Progress) -> None:
            steps.append(step)
            if len(steps) == at:
                raise KeyboardInterrupt

        yield callback

    rows: list[Row] = []
    with pytest.raises(KeyboardInterrupt):
        run(RESTORER, jobs, QUICK, rows.append, watch=stops)
    assert [r.status for r in rows] == ["stopped"]
    assert files(tmp_path / "out") == {"a.mkv"}
    assert (tmp_path / "out" / "a.mkv").read_bytes() == b"the old file"
    assert [r.status for r in restored(jobs)] == ["restored"]
    assert files(tmp_path / "out") == {"a.mkv"}


def test_one_frame_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are encoded before the next one is decoded, however many there are."""
    events: list[str] = []
    restore, add = Restorer.restore, Writer.add
    monkeypatch.setattr(
        Restorer, "restore", lambda self, *a, **k: (events.append("restore"), restore(self, *a, **k))[1]
    )
    monkeypatch.setattr(Writer, "add", lambda self, frame: (events.append("encode"), add(self, frame))[1])
    restored(plan(find([save(tmp_path / "a.mkv", [noise(0)] * 5)]), tmp_path / "b.mkv"))
    assert events == ["restore", "encode"] * 5


def test_from_the_command_line(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(tmp_path / "clip.mkv", [noise(0)] * 2)
    fixed = ["-n", str(model_file), "--device", "cpu", "--steps", "2"]
    assert main(["restore", str(source), "-o", str(tmp_path / "out.mp4"), *fixed]) == 0
    assert "out.mp4" in capsys.readouterr().out
    assert main(["restore", str(source), "-o", str(tmp_path / "out.mp4"), "--skip-existing", *fixed]) == 0
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    assert main(["restore", str(source), str(tmp_path / "bad.mp4"), "-o", str(tmp_path / "out"), *fixed]) == 3
    assert files(tmp_path / "out") == {"clip.mkv"}
    assert main(["restore", str(source), "-o", str(tmp_path / "still.png"), *fixed]) == 1
    assert "cannot be written as .png" in capsys.readouterr().err
    assert main(["restore", str(source), "-o", "-", *fixed]) == 1


def test_without_pyav_it_says_what_to_install(
    tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["restore", str(tmp_path / "clip.mp4"), "-o", str(tmp_path / "out.mp4"), "-n", str(model_file)]) == 1
    assert "[video]'" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_a_full_disk_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, frame) -> None:  # type: ignore[no-untyped-def]
        raise InputError("the disk is full")

    monkeypatch.setattr(Writer, "add", full)
    (row,) = restored(plan(find([save(tmp_path / "a.mkv", [noise(0)])]), tmp_path / "out" / "b.mkv"))
    assert (row.status, row.reason) == ("failed", "the disk is full")
    assert files(tmp_path / "out") == set()


def test_uncertainty_of_a_clip_is_refused_before_the_work(tmp_path: Path) -> None:
    from unveil.errors import InputError
    from unveil.jobs import video
    from unveil.jobs.outputs import Job
    from unveil.restorer import Options

    (tmp_path / "a.mp4").write_bytes(b"never opened")
    job = Job(
        tmp_path / "a.mp4", tmp_path / "b.mp4", {"std": tmp_path / "b_std.png", "overlay": tmp_path / "b_overlay.png"}
    )
    with pytest.raises(InputError, match="--uncertainty is for photographs"):
        video.restore(None, job, Options(), None)  # type: ignore[arg-type]


def test_an_animation_is_written_in_the_format_that_was_asked_for_where_that_moves(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.fromarray(noise(n)) for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    given = find([tmp_path / "a.gif"])
    for ext, name in (("webp", "a.webp"), ("png", "a.png"), ("jpg", "a.gif")):
        (row,) = restored(plan(given, tmp_path / f"as_{ext}", folder=True, ext=ext), handling=Handling(ext=ext))
        assert row.outputs == (str(tmp_path / f"as_{ext}" / name),)
        assert any("not written as jpg" in note for note in row.notes) == (ext == "jpg")
        with Image.open(row.outputs[0]) as made:
            assert made.n_frames == 3  # type: ignore[attr-defined]
