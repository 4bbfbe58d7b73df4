"""`unveil bench`: what it prints, keeps and returns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unveil import cli
from unveil.bench import speed
from unveil.errors import InputError
from unveil.models import weights_file
from unveil.testing import tiny_experts
from unveil.zeroshot.methods import METHODS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder, factor in (("low", 2), ("high", 1)):
        place = tmp_path / "data" / "LOL_eval15" / folder
        place.mkdir(parents=True)
        for i in range(2):
            pixels = np.random.default_rng(i).integers(40, 200, (20, 24, 3)) // factor
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return tmp_path / "data"


def run(*arguments: object) -> int:
    return cli.main(["bench", *map(str, arguments)])


def test_a_table_with_baselines_models_steps_and_the_papers_rows(
    data: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("--data", data, "--models", model, "--steps", "2,3", "--device", "cpu", "--baselines", "identity,gamma")
        == 0
    )
    out, err = capsys.readouterr()
    assert out.startswith("## LOL_eval15\n\n| method | PSNR (dB) | SSIM |")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in out.splitlines() if line.startswith("| ")]
    assert rows[1:5] == ["input", "gamma to mean .45", f"tiny ({model}), 2 steps", f"tiny ({model}), 3 steps"]
    assert err == (
        "unveil: LOL's training split shows 25 of eval15's shots at another exposure and 51 pictures of its toy table: "
        "weights trained on it are helped on eval15\n"
    )


def test_models_that_can_be_told_have_a_row_of_their_own_for_it(
    data: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, told = tiny_experts(), tmp_path / "told.safetensors"
    weights_file.write(told, made.spec, made.predictor, None)
    kept = tmp_path / "kept.json"
    assert (
        run("--data", data, "--models", f"{model},{told}", "--fix", "haze,lowlight", "--device", "cpu",
            "--baselines", "none", "-o", kept) == 0
    )  # fmt: skip
    rows = json.loads(kept.read_text())["sets"]["LOL_eval15"]
    name = made.spec.name
    assert list(rows) == [f"tiny ({model})", f"{name} ({told})", f"{name} ({told}), told haze and lowlight"]
    assert rows[f"{name} ({told}), told haze and lowlight"]["run"]["fix"] == ["haze", "lowlight"]
    capsys.readouterr()
    assert run("--data", data, "--models", told, "--fix", "hase", "--device", "cpu") == 2
    assert "haze" in capsys.readouterr().err
    assert run("speed", "--fix", "haze") == 2
    assert "leave out --fix" in capsys.readouterr().err


def test_a_kept_result_is_gone_on_from(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.json"
    call = ("quality", "--data", data, "--models", "none", "--baselines", "identity", "-o", kept, "--json")
    assert run(*call) == 0
    first = json.loads(capsys.readouterr().out)
    assert json.loads(kept.read_text()) == first
    changed = json.loads(kept.read_text())
    changed["sets"]["LOL_eval15"]["input"]["processor_seconds"] = [7.0, 8.0]
    kept.write_text(json.dumps(changed))
    assert run(*call) == 0
    assert json.loads(capsys.readouterr().out)["sets"]["LOL_eval15"]["input"]["processor_seconds"] == [7.0, 8.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the folder that holds them with --data"),
        (["--data", "DATA", "--sets", "LOL"], "no test set 'LOL' in .*; found: LOL_eval15"),
        (["--data", "DATA", "--baselines", "magic"], "unknown baseline 'magic'"),
        (["--data", "DATA", "--steps", "2,x"], "--steps takes whole numbers"),
        (["speed", "--steps", "2,3"], "speed and memory take one number of steps"),
        (["--data", "DATA", "--models", "none", "-o", "BROKEN"], "is no result to go on from"),
        (["--data", "DATA", "--models", "none", "-o", "OTHER"], "is no result of `unveil bench quality`; name another"),
        (["speed", "-o", "OTHER"], "is no result of `unveil bench speed`; name another"),
        (["memory", "--megapixels", "1,lots"], "--megapixels takes numbers separated by commas, not 'lots'"),
        (["--data", "DATA", "--preset", "paper", "--task", "denoise"], "only zero-shot methods take --task, --preset"),
        (["--data", "DATA", "--models", "diffpir", "--task", "denoise"], "diffpir take no --task; ldrps, .*tao do"),
        (["--data", "DATA", "--models", "diffpir", "--preset", "paper"], "DiffPIR has no preset paper"),
        (["speed", "--prior", "small-pixel"], "speed is measured of trained models; leave out --prior"),
        (["speed", "--dtype", "bf16"], "--dtype is of quality, and does nothing for speed; leave it out"),
        (["speed", "--data", "DATA"], "--data is of quality, and does nothing for speed"),
        (["speed", "--megapixels", "1"], "--megapixels is of memory, and does nothing for speed"),
        (["memory", "--size", "64"], "--size is of speed, and does nothing for memory"),
        (["memory", "--samples", "4"], "--samples is of quality, and does nothing for memory"),
        (["memory", "--models", "wild"], "--models is of quality and speed, and does nothing for memory"),
        (["--data", "DATA", "--threads", "2"], "--threads is of speed and memory, and does nothing for quality"),
        (["sharpness"], "sharpness"),
    ],
)
def test_wrong_calls(
    data: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"x": 1}')
    named = {"DATA": str(data), "BROKEN": str(tmp_path / "broken.json"), "OTHER": str(tmp_path / "other.json")}
    assert run(*[named.get(a, a) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert re.search(said, err), err
    assert (tmp_path / "other.json").read_text() == '{"x": 1}'


def test_failures_change_the_status(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "LOL_eval15/low/0.png").write_bytes(b"no image")
    assert run("--data", data, "--models", "none", "--baselines", "identity") == 3
    assert "Not measured:" in capsys.readouterr().out


@pytest.mark.slow
def test_speed_and_memory(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("speed", "--models", model, "--size", 32, "--steps", 2, "--device", "cpu", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["protocol"]["device"].startswith("cpu: ")
    assert "32x32, 2 steps" in speed.markdown(told)
    assert run("speed", "--models", model, "--size", 32, "--device", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    assert run("memory", "--steps", 1, "--megapixels", "0.1", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["protocol"]["steps"] == 1
    assert result["rows"][0]["peak_bytes"] - result["rows"][0]["base_bytes"] <= result["rows"][0]["planned_bytes"]


def test_a_zero_shot_method_is_measured_by_its_preset_and_prior(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows say what they are and keep their settings; an option goes to those methods alone that have it."""
    kept = tmp_path / "kept.json"
    call = ("--data", data, "--models", "tao,ddrm", "--baselines", "none", "--every", 2, "--device", "cpu", "-o", kept)
    assert run(*call, "--steps", 1, "--preset", "quick", "--prior", "small-pixel", "--task", "lowlight") == 0
    assert "| TAO on small-pixel, quick, 1 steps |" in capsys.readouterr().out
    rows = json.loads(kept.read_text())["sets"]["LOL_eval15"]
    assert list(rows) == ["TAO on small-pixel, quick, 1 steps", "DDRM on small-pixel, quick, 1 steps"]
    assert [len(row["images"]) for row in rows.values()] == [1, 1]
    tao = rows["TAO on small-pixel, quick, 1 steps"]["run"]
    assert (tao["crop"], tao["task"]) == (METHODS["tao"].quick["crop"], "lowlight")


def test_the_published_settings_reach_the_row(data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without running them, which takes a thousand steps: what is opened is what `restore --preset paper` opens."""
    kept = tmp_path / "kept.json"
    monkeypatch.setattr("unveil.bench.quality.measure", _without_measuring(kept))
    assert run("--data", data, "--models", "gdp", "--baselines", "none", "--preset", "paper", "--device", "cpu") == 2
    told = json.loads(kept.read_text())
    published = METHODS["gdp"].published
    assert published is not None
    assert told["GDP, paper"].items() >= published.items()


def _without_measuring(kept: Path) -> Callable[..., dict[str, Any]]:
    def measure(sets: Any, methods: Any, **_: Any) -> dict[str, Any]:
        kept.write_text(json.dumps({method.title: method.run for method in methods}))
        raise InputError("not measured")

    return measure


def test_fidelity_stands_in_the_row_and_in_the_result(
    data: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("--data", data, "--models", model, "--device", "cpu", "--baselines", "none", "--json")
    found = {}
    for fidelity in (0, 1):
        assert run(*told, "--fidelity", fidelity) == 0
        (title, row), *_ = json.loads(capsys.readouterr().out)["sets"]["LOL_eval15"].items()
        assert title == f"tiny ({model}), fidelity {fidelity}"
        assert row["run"]["fidelity"] == fidelity
        found[fidelity] = row["one draw"]
    assert found[0] != found[1]
    assert run(*told, "--fidelity", 2) == 2
    assert run("memory", "--fidelity", 1) == 2
    assert run("memory", "--device", "cuda") == 2
    assert run("--data", data, "--models", "diffpir", "--fidelity", 1) == 2
    assert "diffpir is a zero-shot method" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["speed", "--size", 0], "--size must be at least 1, got 0"),
        (["speed", "--threads", 0], "--threads must be at least 1, got 0"),
        (["memory", "--threads", -1], "--threads must be at least 1, got -1"),
        (["memory", "--megapixels", "1,0"], "--megapixels takes numbers above 0, got 1,0"),
        (["memory", "--megapixels", "nan"], "--megapixels takes numbers above 0, got nan"),
    ],
)
def test_sizes_and_threads_are_checked_first(arguments: list, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert says in capsys.readouterr().err
