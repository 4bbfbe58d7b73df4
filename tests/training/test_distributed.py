"""Several processes give what one gives with the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from unveil.errors import InputError
from unveil.training import config as configuration
from unveil.training import reporting
from unveil.training.distributed import World, pick_device, world
from unveil.training.loop import train

Tree = Callable[..., dict[str, Any]]

STAGES = [
    {"kind": "predictor", "steps": 10, "lr": 1e-3, "batch": 4, "crop": 32, "warmup": 2, "low": 0.3, "accumulate": 2},
    {"kind": "correction", "steps": 4, "lr": 1e-3, "batch": 2, "crop": 32, "warmup": 2, "accumulate": 2},
]


def test_parts_are_shared_evenly_or_not_at_all() -> None:
    assert [list(World(rank, 2).parts(4)) for rank in range(2)] == [[0, 1], [2, 3]]
    assert list(World().parts(3)) == [0, 1, 2]
    with pytest.raises(InputError, match=r"--stages\.0\.accumulate 2"):
        World(0, 2).parts(1)


def test_alone_the_average_is_over_the_parts() -> None:
    gradients = [torch.full((2, 3), 6.0), torch.tensor(9.0)]
    World().average(gradients, 3)
    assert [float(g.max()) for g in gradients] == [2.0, 3.0]
    assert World().sums([1.5, 2.0]) == [1.5, 2.0]


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="'abacus' cannot be used here"):
        pick_device("abacus")
    with world("cpu") as alone:
        assert (alone.rank, alone.size, alone.first) == (0, 1, True)


def curve(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree(stages=STAGES)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # Both processes tell every step, as the one below does.
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\nfrom unveil.training import stage\nfrom unveil.cli import main\nstage.EVERY = 1\nsys.exit(main(sys.argv[1:]))\n"
    )
    command = [*launch, str(script), "train", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "two")]
    ran = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("pairs to train on") == 1  # one of the two speaks
    monkeypatch.setattr("unveil.training.stage.EVERY", 1)
    assert reporting.EVERY > 1
    train(configuration.parse(tree(stages=STAGES)), tmp_path / "one", report=lambda line: None)
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert len(one) == len(two) == 14
    for alone, together in zip(one, two, strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        assert together["norm"] == pytest.approx(alone["norm"], rel=1e-4)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        assert torch.allclose(value.float(), weights[1][name].float(), rtol=2e-3, atol=1e-4), name  # half precision
