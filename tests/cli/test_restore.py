from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unveil
from unveil import figures
from unveil.cli import main
from unveil.cli import restore as module
from unveil.errors import InputError
from unveil.models.weights_file import write
from unveil.testing import tiny_experts


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file()}


def test_one_photograph_with_all_that_can_be_written(tmp_path: Path, model: str, picture: Path) -> None:
    out = tmp_path / "out" / "clean.png"
    status = main(f"restore {picture} -o {out} -n {model} --samples 2 --uncertainty --compare --device cpu".split())
    assert status == 0
    assert files(out.parent) == {"clean.png", "clean_std.png", "clean_overlay.png", "clean_compare.png"}
    with Image.open(out) as image:
        assert image.size == (48, 32)
    with Image.open(out.parent / "clean_std.png") as image:
        assert image.width > 48  # the map and its colour bar
    with Image.open(out.parent / "clean_overlay.png") as image:
        drawn = unveil.load(model, device="cpu").restore(picture, samples=8, fidelity=0.0)
        assert drawn.uncertainty is not None
        assert np.array_equal(np.asarray(image), np.asarray(figures.overlay(drawn.image, drawn.uncertainty)))


def test_python_and_command_line_give_the_same_pixels(tmp_path: Path, model: str, picture: Path) -> None:
    assert main(f"restore {picture} -o {tmp_path / 'a.png'} -n {model} --seed 7 --steps 3 --device cpu".split()) == 0
    unveil.load(model, device="cpu").restore(picture, seed=7, steps=3).save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_json_rows_carry_the_protocol(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(picture), "-o", str(tmp_path / "out/"), "-n", model, "--json", "--device", "cpu"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["status"] == "restored"
    assert row["seed"] == 0
    assert len(row["sha256"]) == 64


def test_a_bad_file_is_named_and_the_others_are_written(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "notes.txt"
    bad.write_text("not a picture")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    out = tmp_path / "out"
    assert main(["restore", str(bad), str(picture), str(empty), "-o", str(out), "-n", model, "--device", "cpu"]) == 3
    assert files(out) == {"p.png"}
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "notes.txt" in errors[0]
    assert "empty.jpg" in errors[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "steps must be between 1 and 5"),
        (["--steps", "6"], "steps must be between 1 and 5"),
        (["--samples", "0"], "samples must be at least 1"),
        (["--fidelity", "2"], "fidelity"),
        (["--strength", "-1"], "strength"),
        (["--solver", "euler"], "solver"),
        (["--resolution", "up"], "coarse_to_fine"),
        (["--device", "abacus"], "device"),
        (["--dtype", "int8"], "dtype"),
        (["--stepz", "3"], "stepz"),
    ],
)
def test_wrong_settings_are_one_line_and_write_nothing(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert main(["restore", str(picture), "-o", str(out), "-n", model, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert files(out) == set()


def test_unknown_model_offers_the_nearest_names(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(picture), "-o", str(tmp_path / "o.png"), "-n", "genral"]) == 2
    assert "general" in capsys.readouterr().err
    assert not (tmp_path / "o.png").exists()


def test_missing_file_and_unwritable_folder(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(tmp_path / "gone.jpg"), "-o", str(tmp_path / "o.png"), "-n", model]) == 1
    assert "gone.jpg" in capsys.readouterr().err
    (tmp_path / "file").write_text("in the way")
    assert main(["restore", str(picture), "-o", str(tmp_path / "file" / "o.png"), "-n", model]) == 2
    assert "written" in capsys.readouterr().err


def test_nothing_to_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_two_inputs_of_one_name_do_not_overwrite_each_other(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / "p.png"
    other.parent.mkdir()
    other.write_bytes(picture.read_bytes())
    assert main(["restore", str(picture), str(other), "-o", str(tmp_path / "out"), "-n", model]) == 2
    assert "p.png" in capsys.readouterr().err
    assert not (tmp_path / "out" / "p.png").exists()


def test_without_an_output_it_is_written_beside_and_not_restored_again(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "folder" / name).write_bytes(picture.read_bytes())
    before = (tmp_path / "folder" / "a.png").read_bytes()
    call = ["restore", str(tmp_path / "folder"), "-n", model, "--device", "cpu", "--steps", "1"]
    for _ in range(2):
        assert main(call) == 0
        assert files(tmp_path / "folder") == {"a.png", "b.png", "a_restored.png", "b_restored.png"}
    assert (tmp_path / "folder" / "a.png").read_bytes() == before
    expected = unveil.load(model, device="cpu").restore(picture, steps=1)
    expected.save(tmp_path / "expected.png")
    assert (tmp_path / "folder" / "a_restored.png").read_bytes() == (tmp_path / "expected.png").read_bytes()
    capsys.readouterr()
    names = [str(tmp_path / "folder" / name) for name in ("a.png", "a_restored.png", "b.png", "b_restored.png")]
    assert main(["restore", *names, *call[2:]]) == 0  # as a shell writes *.png
    assert "a_restored_restored.png" not in files(tmp_path / "folder")
    assert f"{names[1]} and 1 more: written by an earlier call" in capsys.readouterr().err
    assert main([*call[:4], "--suffix", "_x", *call[4:]]) == 0
    assert "a_x.png" in files(tmp_path / "folder")
    capsys.readouterr()
    assert main(["restore", "-", "-n", model]) == 2
    assert "standard input has no name to write beside" in capsys.readouterr().err


def test_several_photographs_into_one_name_are_refused(
    tmp_path: Path, model: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "q.png"
    other.write_bytes(picture.read_bytes())
    for share in ([], ["--shard", "1/2"]):
        call = ["restore", str(picture), str(other), "-o", str(tmp_path / "x.png"), "-n", model, *share]
        assert main(call) == 2
        assert "2 photographs cannot be written to one file" in capsys.readouterr().err
        assert not (tmp_path / "x.png").exists()
    assert main([*call[:4], f"{tmp_path / 'x.png'}/", "-n", model, "--device", "cpu", "--steps", "1"]) == 0
    assert files(tmp_path / "x.png") == {"p.png", "q.png"}


def test_method_auto_is_the_model_that_restore_takes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from unveil import loading

    loaded: list[object] = []
    monkeypatch.setattr(loading, "load", lambda name, *rest, **named: loaded.append((name, rest, named)))
    for method in ("auto", None):
        module._restorer(method, "general", module.NONE_GIVEN, "cpu", "fp32", "torch")
    assert loaded[0] == loaded[1]
    with pytest.raises(InputError, match="leave out -n wild"):
        module._restorer("auto", "wild", module.NONE_GIVEN, "cpu", "fp32", "torch")


def test_the_line_that_is_printed_gives_the_same_pixels(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted into a shell, as it stands on standard error."""
    made = tiny_experts()
    write(told := tmp_path / "told.safetensors", made.spec, made.predictor, made.head)
    out = tmp_path / "a name.png"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    call = ["restore", str(picture), "-o", str(out), "-n", str(told), "--fix", "noise,jpeg", "--seed", "5"]
    more = ["--strength", "0.5", "--fidelity", "0", "--dtype", "fp32", "--max-pixels", "123456", "--recursive"]
    assert main([*call, *more, "--device", "cpu"]) == 0
    first = out.read_bytes()
    line = capsys.readouterr().err.partition("the same pixels again: ")[2].splitlines()[0]
    assert line.endswith(" --dtype fp32 --recursive --max-pixels 123456")
    out.unlink()
    assert main([*shlex.split(line)[1:], "--device", "cpu"]) == 0
    assert out.read_bytes() == first
    assert main([*shlex.split(line.replace("--seed 5", "--seed 6"))[1:], "--device", "cpu"]) == 0
    assert out.read_bytes() != first
