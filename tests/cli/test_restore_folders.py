"""`unveil restore` on folders, standard input and output, interruptions, and its exit statuses."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unveil.cli import main


@pytest.fixture
def call(model: str):  # type: ignore[no-untyped-def]
    """`unveil restore` with the tiny model, two steps, on the processor."""

    def call(*arguments: object) -> int:
        fixed = ["-n", model, "--device", "cpu", "--steps", "2"]
        return main(["restore", *map(str, arguments), *fixed])

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for i, name in enumerate(("a.png", "b.jpg", "deep/c.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (24, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    (root / "Thumbs.db").write_bytes(b"stray")
    return root


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_and_its_manifest(call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    out, manifest = folder / "out", tmp_path / "m.jsonl"
    assert call(folder, "-o", out, "--recursive", "--suffix", "_x", "--ext", "tif", "--manifest", manifest) == 0
    assert files(out) == {"a_x.tif", "b_x.tif", "deep/c_x.tif"}
    assert capsys.readouterr().err == ""
    assert [(r["status"], r["size"], r["seed"], len(r["sha256"]), r["protocol"]["steps"]) for r in rows(manifest)] == [
        ("restored", [36, 24], 0, 64, 2)
    ] * 3
    assert (
        call(
            folder,
            "-o",
            out,
            "--recursive",
            "--suffix",
            "_x",
            "--ext",
            "tif",
            "--manifest",
            manifest,
            "--skip-existing",
        )
        == 0
    )
    assert [r["status"] for r in rows(manifest)[3:]] == ["skipped"] * 3, (
        "the output folder inside the input is not restored again"
    )


def test_exit_statuses(call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert call(folder, "-o", tmp_path / "out") == 3
    assert files(tmp_path / "out") == {"a.png"}
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert err.count("\n") == 1
    assert "b.jpg" in err
    assert call(folder / "b.jpg", tmp_path / "gone.png", "-o", tmp_path / "other") == 1, "nothing could be done"
    assert capsys.readouterr().err.count("\n") == 2
    assert call(folder, "-o", tmp_path / "out", "--skip-existing") == 3, "what was there already is done"
    capsys.readouterr()
    (tmp_path / "empty").mkdir()
    assert call(tmp_path / "empty", "-o", tmp_path / "out") == 2
    assert "no photograph in" in capsys.readouterr().err
    assert call(folder / "a.png", "-o", folder / "a.png") == 2
    assert "would replace the photograph" in capsys.readouterr().err


def test_one_bad_photograph_named_twice_is_told_once(call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert call(tmp_path / "no.png", tmp_path / "no.png", "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err.count("no.png") == 1


def test_max_pixels_and_tile(call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert call(folder / "a.png", "-o", tmp_path / "o.png", "--max-pixels", "100") == 1
    assert "--max-pixels 864" in capsys.readouterr().err
    assert call(folder / "a.png", "-o", tmp_path / "o.png", "-t", "20") == 0
    assert call(folder / "a.png", "-o", tmp_path / "p.png", "--tile", "0") == 0
    left, right = (np.asarray(Image.open(tmp_path / n)).astype(int) for n in ("o.png", "p.png"))
    assert np.abs(left - right).max() <= 40, "small tiles of a random network differ, but not grossly"
    for wrong in ("some", "-5", "1.5"):
        assert call(folder / "a.png", "-o", tmp_path / "q.png", "--tile", wrong) == 2


def test_standard_input_and_output(call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    assert call(folder / "a.png", "-o", tmp_path / "o.png") == 0
    taken = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((folder / "a.png").read_bytes())))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(taken))
    assert call("-", "-o", "-") == 0
    assert taken.getvalue() == (tmp_path / "o.png").read_bytes()


class Full(io.RawIOBase):
    """A stream on a full disk."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_standard_output_that_takes_nothing_is_told(
    call, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=Full(), flush=lambda: None))
    assert call(folder / "a.png", "-o", "-") == 1
    told = "standard output: cannot be written to (No space left on device); name a file with -o"
    assert capsys.readouterr().err.splitlines()[-1].endswith(told)


def test_standard_input_that_cannot_be_read_is_named_once(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    stream = io.BytesIO()
    stream.name = "<stdin>"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    assert call("-", "-o", tmp_path / "o.png") == 1
    assert capsys.readouterr().err == "unveil: -: the file is empty (0 bytes); copy it again from its source\n"


@pytest.mark.parametrize(("form", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("WEBP", "webp")])
def test_standard_input_has_the_suffix_of_its_format_in_a_folder(
    call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, suffix: str
) -> None:  # type: ignore[no-untyped-def]
    given = io.BytesIO()
    Image.open(folder / "a.png").convert("RGB").save(given, form)
    for extra, name in (
        ((), f"stdin.{suffix}"),
        (("--ext", "tif"), "stdin.tif"),
        (("--suffix", "_x"), f"stdin_x.{suffix}"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(given.getvalue()))))  # type: ignore[arg-type]
        assert call("-", "-o", f"{tmp_path}/{name}_/", *extra) == 0
        (written,) = (tmp_path / f"{name}_").iterdir()
        assert written.name == name
        with Image.open(written) as image:
            assert image.format == ("TIFF" if name.endswith("tif") else form)


def test_standard_input_that_is_closed_is_told(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "stdin", None)
    assert call("-", "-o", tmp_path / "o.png") == 1
    assert "standard input is closed; send the photograph there, or name a file" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals as POSIX has them")
def test_ctrl_c_ends_with_130_and_the_same_call_goes_on(
    call, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    from unveil.cli.progress import Bar

    arguments = (folder, "-o", tmp_path / "out", "--recursive", "--skip-existing", "--manifest", tmp_path / "m.jsonl")
    advance, count = Bar.advance, []

    def interrupted(self, step) -> None:  # type: ignore[no-untyped-def]
        count.append(step)
        if len(count) == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        advance(self, step)

    # A shell that starts the tests in the background lets them ignore Ctrl-C; here it must count.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Bar, "advance", interrupted)
            patched.setattr("unveil.cli.restore._is_unwatched", lambda *_: False)
            assert call(*arguments) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert [r["status"] for r in rows(tmp_path / "m.jsonl")] == ["restored", "stopped", "stopped"]
    assert files(tmp_path / "out") == {"a.png"}
    assert call(*arguments) == 0
    assert [r["status"] for r in rows(tmp_path / "m.jsonl")[3:]] == ["skipped", "restored", "restored"]
    assert files(tmp_path / "out") == {"a.png", "b.jpg", "deep/c.png"}
    assert os.path.getsize(tmp_path / "out" / "deep" / "c.png") > 0


def test_the_shards_of_a_folder_are_the_folder(call, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out, seen = tmp_path / "out", []
    for k in (1, 2, 3):
        manifest = tmp_path / f"{k}.jsonl"
        assert call(folder, "-o", out, "--recursive", "--shard", f"{k}/3", "--manifest", manifest) == 0
        seen += [r["output"] for r in rows(manifest)]
    assert files(out) == {"a.png", "b.jpg", "deep/c.png"}
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2"), "name one with --cluster"),
        (("--worker-cpus", "0.5"), "name one with --cluster"),
        (("--cluster", "local", "--worker-cpus", "0"), "cpus > 0"),
        (("--cluster", "local", "--frames", "frames"), "leave out --cluster"),
        (("--shard", "4/3"), "K/N with K from 1 to N"),
    ],
)
def test_what_says_nothing_about_a_cluster_is_refused(  # type: ignore[no-untyped-def]
    call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert call(folder, "-o", tmp_path / "out", *options) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_names_do_not_command_the_terminal(
    call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    odd = (folder / "a.png").rename(folder / "a\n\x1b[31mb.png")
    assert call(odd, folder / "no\tsuch.png", "-o", tmp_path / "out") == 3
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path / 'out'}/a\\n\\x1b[31mb.png  ")
    assert f"unveil: {folder}/no\\tsuch.png: no such file" in told.err
    assert "\x1b[31m" not in told.err


def test_a_manifest_is_no_photograph(call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    same = tmp_path / "x.png"
    assert call(folder / "a.png", "-o", same, "--manifest", same) == 2
    assert "is also what is written of" in capsys.readouterr().err
    masks = folder / "deep"
    blind = ["--method", "ddrm", "--operator", f"mask:file={masks}/c.png"]
    assert main(["restore", str(folder / "a.png"), "-o", str(masks / "c.png"), *blind]) == 2
    assert "c.png, which is read" in capsys.readouterr().err


def test_frames_go_into_a_folder(call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "frames"
    file.write_bytes(b"a file")
    assert call(folder / "a.png", "-o", tmp_path / "out.png", "--frames", file) == 2
    assert "the folder cannot be made (File exists); choose another --frames" in capsys.readouterr().err
    assert file.read_bytes() == b"a file"


def test_frames_of_one_name_are_refused(call, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (folder / "deep" / "c.png").rename(folder / "deep" / "a.png")
    assert call(folder, "--recursive", "-o", tmp_path / "out", "--frames", tmp_path / "frames") == 2
    assert "would both write frames named a_0001.png" in capsys.readouterr().err
    assert not (tmp_path / "frames").exists()
