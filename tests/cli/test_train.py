"""`unveil train` and `unveil data` as a person types them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import unveil
from unveil import cli
from unveil.training.config import load
from unveil.training.settings import Config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of a tiny run on four pairs."""
    for side, value in (("degraded", 60), ("clean", 160)):
        (tmp_path / "photos" / side).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, value, (40, 44, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / side / f"{i}.png")
    tree = {
        "name": "tiny",
        "data": {
            "root": str(tmp_path / "photos"),
            "pairs": [{"degraded": "degraded", "clean": "clean"}],
            "held_out": 0.25,
        },
        "network": {"base": 8, "mults": [1, 1, 1], "blocks": 1, "head": 8},
        "validation": {"size": 32},
        "stages": [{"steps": 3, "batch": 2, "crop": 32}],
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("unveil: ")
    assert err.count("\n") == 1
    return err


def test_from_a_configuration_to_a_restored_photograph(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert (
        cli.main(["train", str(config), "-o", str(run), "--stages.0.lr", "1e-3", "--seed=5", "--validation.count", "2"])
        == 0
    )
    assert "stage 1 (predictor) step 3/3" in capsys.readouterr().out
    resolved: Config = load(run / "config.yaml")
    assert (resolved.seed, resolved.stages[0].lr, resolved.validation.count) == (5, 1e-3, 2)
    photo = tmp_path / "photos" / "degraded" / "0.png"
    assert cli.main(["restore", str(photo), "-o", str(tmp_path / "out.png"), "-n", str(run)]) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (44, 40)
    capsys.readouterr()
    assert cli.main(["train", str(config), "-o", str(run)]) == 2
    assert f"--resume {run}" in complaint(capsys)
    assert cli.main(["train", "--resume", str(run), "--workers", "1"]) == 0
    assert capsys.readouterr().out.startswith(f"{run} is finished, at step 3: ")


def test_the_default_folder_is_named_after_the_run(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", str(config), "--name", "mine"]) == 0
    assert (tmp_path / "runs" / "mine" / "model.safetensors").exists()


def test_check_finds_everything_and_trains_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", str(config), "--check", "--init", "nothere"]) == 2
    assert "nothere" in capsys.readouterr().err
    assert cli.main(["train", str(config), "--check", "-o", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out)["name"] == "tiny"
    assert "3 pairs to train on; 0 and 1 held out" in out
    assert not (tmp_path / "run").exists()


def test_check_names_photographs_that_are_not_read(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = tmp_path / "photos" / "clean" / "9.heic"
    beside.touch()
    assert cli.main(["train", str(config), "--check"]) == 0
    assert f"{beside}: passed over, since .heic is not read here" in complaint(capsys)


def test_check_refuses_and_prints_what_the_run_would(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = ("--stages.0.kind", "rollout", "--stages.0.expert", "native")
    from_general = ("train", str(config), "--check", "--init", "general", *stage)
    assert cli.main([*from_general, "--stages.0.crop", "36"]) == 2
    assert "stages.0.crop must be a multiple of 8 for this network and kind, got 36" in complaint(capsys)
    assert cli.main([*from_general]) == 0
    sizes = unveil.load("general").model.spec.network["native"]
    printed = yaml.safe_load(capsys.readouterr().out)["network"]["experts"][1]
    assert printed["base"] == sizes["base"] != 8
    assert printed["mults"] == list(sizes["mults"])


def test_check_says_where_the_pictures_are_known_to_be_in_a_test_set(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").rename(tmp_path / "our485")
    assert cli.main(["train", str(config), "--check", "--data.root", str(tmp_path / "our485")]) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["name"] == "tiny"
    assert err.startswith("unveil: LOL's training split shows 25 of eval15's shots at another exposure")


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], "name a configuration first"),
        (["--seed", "3"], "name a configuration first"),
        (["nowhere.yaml"], "no configuration file 'nowhere.yaml'"),
        (["CONFIG", "3"], "'3' belongs to no setting"),
        (["CONFIG", "--sed", "3"], "did you mean seed?"),
        (["CONFIG", "--data.root", "nowhere"], "nowhere/degraded: no such folder"),
        (["--resume", "nowhere"], "no run to resume here"),
        (["--resume", "nowhere", "-o", "x"], "leave out -o"),
        (["CONFIG", "--resume", "nowhere"], "--resume goes on by the run's own config.yaml; leave out"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    config: Path,
    tokens: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *(str(config) if t == "CONFIG" else t for t in tokens)]) == 2
    assert expected in complaint(capsys)


def test_data_that_is_not_there_leaves_no_run_behind(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli.main(["train", str(config), "-o", str(run), "--data.root", "nowhere"]) == 2
    assert not run.exists()


def test_a_resumed_run_cannot_become_another(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(config.read_text())
    assert cli.main(["train", "--resume", str(run), "--seed", "9"]) == 2
    assert "cannot change seed" in complaint(capsys)


def test_ctrl_c_ends_with_130_and_a_checkpoint(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unveil.training import stage

    real = stage.rate

    def rate(*args: object) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "rate", rate)
    assert cli.main(["train", str(config), "-o", str(tmp_path / "run")]) == cli.INTERRUPTED
    out, err = capsys.readouterr()
    assert f"stopped after step 1; go on with: unveil train --resume {tmp_path / 'run'}" in out
    assert err == "unveil: stopped.\n"
    assert (tmp_path / "run" / "step_0000001.safetensors").exists()


def test_face_shadows_and_super_resolution_pairs(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos" / "clean"
    faces = [
        "data",
        "faceshadow",
        "--faces",
        str(photos),
        "-o",
        str(tmp_path / "fs"),
        "-n",
        "3",
        "--seed",
        "1",
        "--size",
        "32",
    ]
    assert cli.main(faces) == 0
    assert "3 pairs made, 0 were there" in capsys.readouterr().out
    assert (tmp_path / "fs" / "sheet.png").exists()
    assert cli.main(faces) == 0
    assert "0 pairs made, 3 were there" in capsys.readouterr().out
    (photos / "bad.png").write_text("no image")
    assert cli.main(["data", "superresolution", str(photos), "-o", str(tmp_path / "sr"), "--scale", "2"]) == 3
    assert "bad.png" in capsys.readouterr().err
    assert len(list((tmp_path / "sr" / "degraded").iterdir())) == 4
    assert (
        cli.main(["data", "faceshadow", "--faces", str(tmp_path / "none"), "-o", str(tmp_path / "x"), "-n", "1"]) == 2
    )
    assert "no such folder" in complaint(capsys)
