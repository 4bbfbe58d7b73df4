"""Where a step's time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from unveil.cli import main
from unveil.data.files import Store
from unveil.training import config as configuration
from unveil.training import profiling
from unveil.training.profiling import PARTS, Clock, profile

Tree = Callable[..., dict[str, Any]]


def test_a_moment_counts_for_the_innermost() -> None:
    clock = Clock(torch.device("cpu"))
    with clock.of("outer"):
        time.sleep(0.02)
        with clock.of("inner"):
            time.sleep(0.05)
        clock.timed("inner", time.sleep)(0.05)
    assert 0.1 <= clock.seconds["inner"] < 2
    assert clock.seconds["outer"] >= 0.02
    before = dict(clock.seconds)
    time.sleep(0.01)
    assert dict(clock.seconds) == before


def test_every_part_of_every_stage_is_seen(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tree()
    settings["data"] |= {"photos": ["clean"]}
    settings["data"]["pairs"][0]["weight"] = 0.3
    settings["stages"].append({"kind": "correction", "steps": 3, "batch": 2, "crop": 32})
    monkeypatch.setattr(profiling.Optimiser, "step", slowly(profiling.Optimiser.step))
    made, genuine = profile(configuration.parse(settings), steps=2, warm=1), Store._make
    assert [stage.kind for stage in made.stages] == ["predictor", "correction"]
    for stage in made.stages:
        for part in PARTS:
            assert (stage.seconds[part] > 0) == (part != "decode"), part  # decoded once, before
        assert stage.seconds["optimiser"] > 0.02
        assert stage.total == sum(stage.seconds.values())
    assert [stage.images for stage in made.stages] == [4, 2]
    assert made.decoding is not None
    assert made.validation > 0
    assert Store._make is genuine


def slowly(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        time.sleep(0.02)
        return function(*args)

    return call


def test_the_command_prints_a_table_and_writes_nothing(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree()))
    assert main(["train", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "run"), "--profile"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("| ms of a step | stage 1 (predictor) |")
    assert all(f"| {part} |" in said for part in PARTS)
    assert "Photographs are decoded once, in " in said
    assert not (tmp_path / "run").exists()
