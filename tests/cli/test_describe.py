from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unveil.cli import main
from unveil.models.describer import SMALL


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_kinds_probabilities_and_who_said_it(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(photographs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"# {SMALL}, the small classifier that ships")
    assert [line.split("  ")[0] for line in lines[1:]] == [str(photographs / n) for n in ("a.png", "b.jpg")]
    assert "%" in lines[1]


def test_standard_input(photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((photographs / "a.png").read_bytes())))
    assert main(["describe", "-"]) == 0
    assert re.search("^-  noise", capsys.readouterr().out, re.MULTILINE)
    assert main(["describe", "--recursiv", "-"]) == 2
    assert 'Did you mean "--recursive"?' in capsys.readouterr().err


def test_json_has_every_probability(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(photographs / "a.png"), "--json"]) == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert row["status"] == "described"
    assert not row["exclusive"]
    assert {"haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain", "clean", "graphic"} == set(
        row["probabilities"]
    )
    assert row["probabilities"]["noise"] > 0.5  # pure noise


def test_a_file_that_is_no_photograph_is_named_and_the_rest_described(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "c.png").write_bytes(b"no picture")
    assert main(["describe", str(photographs)]) == 3
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert "c.png" in told.err
    assert main(["describe", str(photographs / "c.png"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "failed"


def test_wrong_calls_are_explained(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe"]) == 2
    assert main(["describe", str(photographs), "-n", "nobody.safetensors"]) == 2
    assert "no such model file" in capsys.readouterr().err


def test_restore_says_what_it_chose_and_why(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    log = tmp_path / "log.jsonl"
    call = ["restore", str(photographs / "a.png"), "-o", f"{out}/", "--method", "auto", "--device", "cpu"]
    assert main([*call, "--steps", "1", "--manifest", str(log)]) == 0
    assert re.search("found |nothing to fix", capsys.readouterr().err)
    row = json.loads(log.read_text().splitlines()[-1])
    assert row["protocol"]["model"] == "general"
    assert row["sha256"] == row["protocol"]["sha256"]
    assert main([*call, "-n", "wild"]) == 2
    assert "chooses the model itself" in capsys.readouterr().err
    assert main([*call[:4], "--method", "best"]) == 2
    assert "no method is called 'best'" in capsys.readouterr().err
