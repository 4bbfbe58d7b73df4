"""The script for a GPU that is lent for minutes, from end to end on a processor."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import unveil
from benchmarks._runner import run
from recipes import train_gpu
from recipes.__main__ import GROUPS, PLAIN
from unveil.errors import Cancelled, InputError
from unveil.training import checkpoint, loop
from unveil.training import config as configuration
from unveil.training.stage import stop_on_signal

Tree = Callable[..., dict[str, Any]]


def called(*words: str) -> int:
    return run("recipes", GROUPS, PLAIN, ["train_gpu", *words])


@pytest.fixture
def config(tree: Tree, pairs: Path, tmp_path: Path) -> Path:
    """Pairs, and clean photographs of which one is large."""
    root = tmp_path / "data"
    shutil.copytree(pairs, root)
    (root / "photos").mkdir()
    pixels = np.asarray(Image.open(pairs / "clean" / "scene0.png"))
    Image.fromarray(pixels).save(root / "photos" / "small.png")
    Image.fromarray(np.kron(pixels, np.ones((2, 2, 1), np.uint8))).save(root / "photos" / "large.png")
    settings = tree(device="cpu", workers=1)
    settings["data"] |= {"root": str(root), "photos": ["photos"]}
    settings["data"]["pairs"][0]["weight"] = 0.5
    settings["stages"].append({"kind": "correction", "steps": 3, "batch": 2, "crop": 32})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path / "config.yaml"


def test_from_photographs_to_weights_in_small_files(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed, output = tmp_path / "photographs.tar", tmp_path / "out"
    call = ["pack", str(config), "--data", str(tmp_path / "data"), "-o", str(packed), "--side", "50"]
    assert called(*call) == 0
    assert json.loads(capsys.readouterr().out) == {"samples": 8, "taken": 8, "bytes": packed.stat().st_size}
    with tarfile.open(packed) as tar:
        names = tar.getnames()
    assert len(names) == 14
    assert {"photos/small.png", "photos/large.jpg"} <= set(names)
    monkeypatch.setattr(train_gpu, "PART", 60_000)
    started = time.monotonic()
    more = ["--limit", "600", "--batches", "2", "--", "--minutes", "0.03", "--precision", "fp32", "--loader", "device"]
    assert called("run", str(config), str(packed), "-o", str(output), *more) == 0
    assert time.monotonic() - started < 300
    left = {path.name: path.stat().st_size for path in output.iterdir()}
    assert all(size <= 60_000 for size in left.values())
    assert {"model.safetensors.part00", "config.yaml", "log.jsonl", "train.log", "speed.json", "README.md"} <= set(left)
    told = json.loads((output / "speed.json").read_text())
    assert [row["batch"] for row in told["rows"]] == [2]
    assert told["rows"][0]["states_per_second"] > 0
    assert 0 < told["seconds"] < 300
    assert "stage 2 (correction)" in (output / "train.log").read_text()
    assert called("join", str(output)) == 0
    out = unveil.load(str(output / "model.safetensors")).restore(np.full((24, 32, 3), 90, np.uint8), seed=0)
    assert np.isfinite(np.asarray(out.image)).all()
    assert checkpoint.read(output / checkpoint.CARRIED) is not None  # to go on from


def test_no_more_is_packed_than_may_be(config: Path, tmp_path: Path) -> None:
    settings, target = configuration.load(config), tmp_path / "packed.tar"
    whole = train_gpu.pack(settings, tmp_path / "data", target)
    limit = (64 << 10) + (whole["bytes"] - 10240) * 2 // 3
    half = train_gpu.pack(settings, tmp_path / "data", target, limit)
    assert half["bytes"] <= limit
    assert 2 <= half["taken"] < whole["taken"]
    first = target.read_bytes()
    train_gpu.pack(settings, tmp_path / "data", target, limit)
    assert target.read_bytes() == first


def test_where_nothing_fits_the_tar_of_before_stays(config: Path, tmp_path: Path) -> None:
    settings, target = configuration.load(config), tmp_path / "packed.tar"
    target.write_bytes(b"before")
    with pytest.raises(InputError, match="no photograph fits into 65536 bytes"):
        train_gpu.pack(settings, tmp_path / "data", target, 64 << 10)
    assert target.read_bytes() == b"before"


@pytest.mark.parametrize("kept", [0, 700, 11_000])
def test_a_tar_that_is_cut_short_is_named(config: Path, tmp_path: Path, kept: int) -> None:
    settings, target = configuration.load(config), tmp_path / "packed.tar"
    train_gpu.pack(settings, tmp_path / "data", target)
    target.write_bytes(target.read_bytes()[:kept])
    with pytest.raises(InputError, match="no whole tar of photographs"):
        train_gpu.run(settings, target, tmp_path / "out", 60.0, [])


def test_only_what_a_run_left_is_joined(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train\.log in it"):
        train_gpu.join(tmp_path)
    (tmp_path / "train.log").write_text("")
    assert train_gpu.join(tmp_path) == []


def test_a_run_that_is_late_is_stopped_and_leaves_what_it_has(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(settings: Any, folder: Path, report: Callable[[str], None]) -> None:
        assert settings.minutes > 0
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"some")
        with stop_on_signal() as stop:
            while not stop.asked:
                time.sleep(0.01)
        raise Cancelled("training stopped after step 7")

    monkeypatch.setattr(loop, "train", late)
    monkeypatch.setattr(train_gpu, "RESERVE", 0.96)
    packed, output = tmp_path / "photographs.tar", tmp_path / "out"
    settings = configuration.load(config)
    train_gpu.pack(settings, tmp_path / "data", packed)
    assert train_gpu.run(settings, packed, output, 5.0, []) == 3
    assert (output / "weights.safetensors").read_bytes() == b"some"
    assert "training stopped after step 7" in (output / "train.log").read_text()


def test_what_fails_is_one_line_and_leaves_a_log(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise InputError("the loss was not finite")

    monkeypatch.setattr(loop, "train", fails)
    settings, packed = configuration.load(config), tmp_path / "photographs.tar"
    train_gpu.pack(settings, tmp_path / "data", packed)
    with pytest.raises(InputError, match="not finite"):
        train_gpu.run(dataclasses.replace(settings, minutes=0.01), packed, tmp_path / "out", 600.0, [])
    assert (tmp_path / "out" / "speed.json").is_file()
