"""Several processes give what one gives with the same global batch."""

from __future__ import annotations

import json
import os
import shutil
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
from unveil.models.importing import import_file
from unveil.networks.clip import CLIP, VisionTower
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


def launched(*command: str | Path) -> str:
    """What two processes say; they must end well."""
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[:4000]
    return ran.stdout


def interrupted(folder: Path, tree: dict[str, Any], *checks: str) -> None:
    """Train with two processes into folder/two, with an interruption after step 3, of which folder/cut keeps what there was.

    checks: lines about the learner as it is then.
    """
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    script = folder / "train.py"
    lines = (
        "import shutil, sys", "from pathlib import Path", "import torch.distributed as dist",
        "from unveil.training import config, stage", "from unveil.training.loop import train",
        "stage.EVERY = 1", "folder = Path(sys.argv[1])", "dist.init_process_group('gloo')",
        "told = config.load(folder / 'config.yaml')",
        "learner = train(told, folder / 'two', report=lambda _: None, stop_at=3)", *checks,
        "if dist.get_rank() == 0:", "    shutil.copytree(folder / 'two', folder / 'cut')", "dist.barrier()",
        "train(told, folder / 'two', report=lambda _: None)", "dist.destroy_process_group()",
    )  # fmt: skip
    script.write_text("\n".join(lines))
    launched(script, folder)


def curve(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree(stages=STAGES)))
    # Both processes tell every step, as the one below does.
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\nfrom unveil.training import stage\nfrom unveil.cli import main\nstage.EVERY = 1\nsys.exit(main(sys.argv[1:]))\n"
    )
    said = launched(script, "train", tmp_path / "config.yaml", "-o", tmp_path / "two")
    assert said.count("pairs to train on") == 1  # one of the two speaks
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


@pytest.mark.slow
def test_a_run_whose_processes_share_muon_goes_on_with_any_number_of_them(tree: Tree, tmp_path: Path) -> None:
    """Bit for bit: one process all the way, two with an interruption, and one that goes on with what two began."""
    stage = {**STAGES[0], "steps": 6, "optimiser": "muon"}
    interrupted(tmp_path, tree(stages=[stage]))
    config = configuration.parse(tree(stages=[stage]))
    for name in ("one", "cut"):
        train(config, tmp_path / name, report=lambda _: None)
    one, two, cut = (load_file(max((tmp_path / name).glob("step_*.safetensors"))) for name in ("one", "two", "cut"))
    assert any(name.endswith("momentum_buffer") for name in one)
    for other in (two, cut):
        assert other.keys() == one.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_two_processes_teach_da_clips_controller_as_one_does(pairs: Path, tmp_path: Path) -> None:
    """And a run that two began is gone on with by one."""
    torch.manual_seed(0)
    network = CLIP(VisionTower(16, 32, 8, 32, 2, 2), 16, 49408, 16, 1, 1)
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "clip.pt")
    tree = {
        "name": "eyes", "path": "daclip", "init": str(import_file(tmp_path / "clip.pt").weights), "workers": 0, "save_every": 2,
        "data": {"root": str(pairs), "photos": ["clean"], "kinds": {"lowlight": 1, "noise": 1}, "held_out": 0.3},
        "stages": [{"kind": "contrastive", "steps": 4, "lr": 2e-3, "batch": 8, "crop": 32, "warmup": 1, "accumulate": 2}],
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    launched("-m", "unveil.cli", "train", tmp_path / "config.yaml", "-o", tmp_path / "two")
    config = configuration.parse(tree)
    train(config, tmp_path / "one", report=lambda _: None)
    (tmp_path / "cut").mkdir()
    shutil.copy(tmp_path / "two" / "step_0000002.safetensors", tmp_path / "cut")
    said: list[str] = []
    train(config, tmp_path / "cut", report=said.append)
    assert said[0] == "resumed at step 2 of 4"
    one, two, cut = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "cut"))
    for name, value in one.items():
        if name.endswith("in_proj_bias"):
            continue  # of attention's keys: their gradient is rounding alone, of which Adam makes steps
        for other in (two, cut):
            assert torch.allclose(value, other[name], rtol=1e-3, atol=1e-4), name


SHARDED = {
    "network": {"kind": "rddm", "predicts": "residual_noise", "base": 8, "mults": [1, 2], "correction": {"base": 8, "mults": [1]}},
    "stages": [
        {"kind": "predictor", "steps": 2, "lr": 1e-3, "batch": 2, "crop": 16, "warmup": 2, "accumulate": 2},
        {"kind": "joint", "target": "posterior", "steps": 2, "lr": 1e-3, "batch": 2, "crop": 16, "warmup": 2, "accumulate": 2},
    ],
    "workers": 0,
    "checkpointing": True,
}  # fmt: skip


@pytest.mark.slow
def test_a_network_in_shards_trains_as_a_whole_one_and_its_checkpoint_goes_on_anywhere(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FSDP2 over two processes by gloo: the losses, the averaged weights and the files of one process; resumed by two, and by one."""
    interrupted(
        tmp_path,
        tree(**SHARDED, sharded=True),
        "parts = [p for m in learner.modules.values() for p in m.parameters()]",
        "held, whole = sum(p.to_local().numel() for p in parts), sum(p.numel() for p in parts)",
        "assert held < 0.7 * whole, (held, whole)",
    )
    monkeypatch.setattr("unveil.training.stage.EVERY", 1)
    config = configuration.parse(tree(**SHARDED))
    train(config, tmp_path / "one", report=lambda _: None)
    said: list[str] = []
    train(config, tmp_path / "cut", report=said.append)
    assert said[0] == "resumed at step 3 of 4"
    one, two, cut = (curve(tmp_path / name) for name in ("one", "two", "cut"))
    assert [row["step"] for row in two if "loss" in row] == list(range(1, 5))
    losses = [[row["loss"] for row in rows if "loss" in row] for rows in (one, two, cut)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "cut")]
    for name, value in weights[0].items():
        if name.endswith("proj.bias"):
            continue  # in front of a normalisation: its gradient is rounding alone, of which Adam makes steps
        for other in weights[1:]:
            assert torch.allclose(value.float(), other[name].float(), rtol=2e-3, atol=1e-4), name  # half precision
    moments = [load_file(max((tmp_path / name).glob("step_*.safetensors"))) for name in ("one", "two")]
    assert moments[0].keys() == moments[1].keys()
    assert {k: v.shape for k, v in moments[0].items()} == {k: v.shape for k, v in moments[1].items()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "sharded is for networks of kind rddm or conditional; one of kind compact"),
        (
            {**SHARDED, "stages": [*SHARDED["stages"], {"kind": "correction", "crop": 32}]},  # type: ignore[misc]
            "stages.2: a correction runs the sampler for as many steps as it draws",
        ),
        (
            {**SHARDED, "stages": [{"kind": "predictor", "optimiser": "muon", "crop": 32}]},
            "Muon needs whole matrices; with sharded take adamw",
        ),
    ],
)
def test_what_cannot_be_sharded_is_refused(tree: Tree, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        configuration.parse(tree(**changes, sharded=True))


def test_alone_sharded_means_nothing(tree: Tree, tmp_path: Path) -> None:
    """The same configuration trains on one device, to the same bits."""
    small = {**SHARDED, "stages": [{**SHARDED["stages"][0], "steps": 2}]}  # type: ignore[index]
    for name, sharded in (("one", False), ("other", True)):
        train(configuration.parse(tree(**small, sharded=sharded)), tmp_path / name, report=lambda _: None)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "other"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
