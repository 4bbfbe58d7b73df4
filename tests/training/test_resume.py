"""A run that was stopped, by whatever, and went on equals one that was not: bit for bit on a CPU."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from unveil.errors import Cancelled, InputError
from unveil.training import checkpoint
from unveil.training import config as configuration
from unveil.training.loop import train
from unveil.util import atomic

Tree = Callable[..., dict[str, Any]]

STAGES = [
    {"kind": "predictor", "steps": 14, "lr": 1e-3, "batch": 3, "crop": 32, "warmup": 3, "low": 0.4, "switch": 0.3},
    {"kind": "correction", "steps": 6, "lr": 1e-3, "batch": 2, "crop": 32, "warmup": 2},
]
TIMES = ("steps_per_second", "images_per_second")


def result(folder: Path) -> tuple[dict[str, bytes], dict[str, bytes], list[dict[str, Any]]]:
    """The tensors of the last checkpoint and of the model, and the log without its times."""
    found = checkpoint.latest(folder)
    assert found is not None
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return (
        {k: v.contiguous().numpy().tobytes() for k, v in found.tensors.items()},
        {k: v.contiguous().numpy().tobytes() for k, v in load_file(folder / "model.safetensors").items()},
        [{k: v for k, v in line.items() if k not in TIMES} for line in log],
    )


@pytest.fixture(scope="module")
def whole(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(configuration.parse(tree(stages=STAGES)), folder, report=lambda line: None)
    return folder


@pytest.mark.parametrize("steps", [(4,), (14,), (3, 9, 15, 16)])
def test_stopping_in_or_between_stages_changes_nothing(
    tree: Tree, tmp_path: Path, whole: Path, steps: tuple[int, ...]
) -> None:
    config = configuration.parse(tree(stages=STAGES))
    for step in steps:
        train(config, tmp_path / "parts", report=lambda line: None, stop_at=step)
        assert not (tmp_path / "parts" / "model.safetensors").exists()
    said: list[str] = []
    train(config, tmp_path / "parts", report=said.append)
    assert said[0] == f"resumed at step {steps[-1]} of 20"
    assert result(tmp_path / "parts") == result(whole)


def test_kill_at_any_moment_changes_nothing(tree: Tree, tmp_path: Path, whole: Path) -> None:
    """SIGKILL to a process that saves every 3 steps, as soon as its second checkpoint appears: in the middle of whatever it does."""
    config, folder = tmp_path / "config.yaml", tmp_path / "killed"
    config.write_text(yaml.safe_dump(tree(stages=STAGES, save_every=3)))
    command = [sys.executable, "-m", "unveil.cli", "train", str(config), "-o", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    )
    while process.poll() is None and not (folder / "step_0000006.safetensors").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (folder / "model.safetensors").exists()
    said: list[str] = []
    train(configuration.load(folder / "config.yaml"), folder, report=said.append)
    assert said[0].startswith("resumed at step ")
    assert result(folder) == result(whole)


def test_a_signal_to_all_processes_of_a_run_stops_it_in_order(tree: Tree, tmp_path: Path, whole: Path) -> None:
    """As a scheduler sends it: to those that prepare batches too."""
    config, folder = tmp_path / "config.yaml", tmp_path / "stopped"
    config.write_text(yaml.safe_dump(tree(stages=STAGES, save_every=3, workers=2)))
    command = [sys.executable, "-m", "unveil.cli", "train", str(config), "-o", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    while process.poll() is None and not (folder / "step_0000003.safetensors").exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "go on with: unveil train --resume" in said
    train(configuration.load(folder / "config.yaml"), folder, report=lambda line: None)
    assert result(folder) == result(whole)


def test_a_corrupt_last_checkpoint_costs_time_and_nothing_else(tree: Tree, tmp_path: Path, whole: Path) -> None:
    config = configuration.parse(tree(stages=STAGES, save_every=4))
    train(config, tmp_path / "run", report=lambda line: None, stop_at=9)
    newest = tmp_path / "run" / "step_0000009.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    said: list[str] = []
    train(config, tmp_path / "run", report=said.append)
    assert said[0].endswith(
        "step_0000009.safetensors.damaged: a damaged checkpoint, set aside; going on from the one before"
    )
    assert said[1] == "resumed at step 8 of 20"
    assert result(tmp_path / "run") == result(whole)


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 5}, {"save_every": 2}, {"checkpointing": True}])
def test_how_it_runs_does_not_change_what_comes_out(
    tree: Tree, tmp_path: Path, whole: Path, changes: dict[str, Any]
) -> None:
    train(configuration.parse(tree(stages=STAGES, **changes)), tmp_path / "other", report=lambda line: None)
    assert result(tmp_path / "other") == result(whole)


def test_validation_does_not_disturb_training(tree: Tree, tmp_path: Path, whole: Path) -> None:
    config = configuration.parse(tree(stages=STAGES, validation={"every": 5, "count": 2, "size": 32}))
    train(config, tmp_path / "often", report=lambda line: None)
    assert result(tmp_path / "often")[0] == result(whole)[0]
    steps = [json.loads(line)["step"] for line in (tmp_path / "often" / "validation.jsonl").read_text().splitlines()]
    assert steps == [5, 10, 15, 20]


def test_ctrl_c_writes_a_checkpoint_and_the_run_goes_on_from_it(tree: Tree, tmp_path: Path, whole: Path) -> None:
    config = configuration.parse(tree(stages=STAGES, save_every=1000))
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)

    def interrupt(line: str) -> None:
        said.append(line)
        if "pairs to train on" in line:  # just before the first step
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Cancelled, match="stopped after step 1"):
        train(config, tmp_path / "run", report=interrupt)
    assert said[-1] == f"stopped after step 1; go on with: unveil train --resume {tmp_path / 'run'}"
    assert signal.getsignal(signal.SIGINT) is before
    train(config, tmp_path / "run", report=lambda line: None)
    assert result(tmp_path / "run") == result(whole)


def test_a_checkpoint_of_another_network_is_refused(tree: Tree, tmp_path: Path) -> None:
    train(configuration.parse(tree()), tmp_path / "run", report=lambda line: None, stop_at=1)
    other = configuration.parse(tree(network={"base": 12, "mults": [1, 1, 2], "blocks": 1, "head": 8}))
    with pytest.raises(InputError, match=r"other settings \(network\.base\)"):
        train(other, tmp_path / "run", report=lambda line: None)


def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration.parse(tree(save_every=2))
    save = checkpoint.save_file
    calls: list[int] = []

    def fills_up(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "save_file", fills_up)
    with pytest.raises(InputError, match="No space left on device"):
        train(config, tmp_path / "run", report=lambda line: None)
    found = checkpoint.latest(tmp_path / "run")
    assert found is not None
    assert found.step == 2
    assert load_file(found.path)


def test_an_edited_configuration_is_noticed_and_a_remedy_is_not(tree: Tree, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(configuration.parse(tree(stages=STAGES)), folder, report=lambda line: None, stop_at=4)
    edited = [dict(STAGES[0], batch=4), STAGES[1]]
    with pytest.raises(InputError, match=r"made with other settings \(stages\.0\.batch\)"):
        train(configuration.parse(tree(stages=edited)), folder, report=lambda line: None)
    higher = [dict(STAGES[0], lr=2e-3), STAGES[1]]
    with pytest.raises(InputError, match=r"stages\.0\.lr"):
        train(configuration.parse(tree(stages=higher)), folder, report=lambda line: None)
    lower = [dict(STAGES[0], lr=5e-4), STAGES[1]]
    train(configuration.parse(tree(stages=lower)), folder, report=lambda line: None, stop_at=6)


def test_a_run_goes_on_from_before_a_damaged_checkpoint_and_says_so(tree: Tree, tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "run"
    config = configuration.parse(tree(stages=STAGES, save_every=3))
    train(config, folder, report=lambda line: None, stop_at=7)
    newest = sorted(folder.glob("step_*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    lines: list[str] = []
    train(config, folder, report=lines.append)
    assert any("a damaged checkpoint, set aside" in line for line in lines)
    assert result(folder)[1] == result(whole)[1]


def test_what_is_advised_after_a_blow_up_can_be_done(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unveil.training import stage, trainer

    folder, calls = tmp_path / "run", []
    genuine = trainer.objective

    def astray(of: object):  # type: ignore[no-untyped-def]
        goal = genuine(of)  # type: ignore[arg-type]

        def loss(*given: object) -> float:
            calls.append(1)
            return goal(*given) * (1 if len(calls) < 6 else 100) if len(calls) < 9 else float("nan")  # type: ignore[arg-type]

        return loss

    monkeypatch.setattr(trainer, "objective", astray)
    monkeypatch.setattr(stage, "BAD_STEPS", 3)
    with pytest.raises(InputError, match=r"resume with a lower --stages.0.lr .*remove the checkpoints after step 4"):
        train(configuration.parse(tree(stages=STAGES, save_every=1)), folder, report=lambda line: None)
    kept = [int(p.stem[5:]) for p in sorted(folder.glob("step_*.safetensors"))]
    assert kept == [4, 9, 10]  # the one from before the loss rose, and the newest two
    monkeypatch.undo()
    for step in kept[1:]:
        (folder / checkpoint.name(step)).unlink()
    calm = [dict(STAGES[0], lr=1e-4), STAGES[1]]
    lines: list[str] = []
    learner = train(configuration.parse(tree(stages=calm, save_every=1)), folder, report=lines.append)
    assert lines[0] == "resumed at step 4 of 20"
    assert all(p.isfinite().all() for p in learner.predictor.parameters())


@pytest.mark.parametrize("carry", ["weights", "moments"])
def test_a_run_goes_on_elsewhere_from_its_small_state(tree: Tree, tmp_path: Path, whole: Path, carry: str) -> None:
    config = configuration.parse(tree(stages=STAGES, carry=carry))
    train(config, tmp_path / "here", report=lambda line: None, stop_at=9)
    there = tmp_path / "there"
    there.mkdir()
    for name in ("config.yaml", checkpoint.CARRIED):
        shutil.copy(tmp_path / "here" / name, there / name)
    exact, small = checkpoint.read(tmp_path / "here" / checkpoint.name(9)), checkpoint.read(there / checkpoint.CARRIED)
    assert exact is not None
    assert small is not None
    for name, tensor in exact.tensors.items():
        if name.startswith("optimiser."):
            assert (name in small.tensors) == (carry == "moments")
        else:
            assert torch.equal(small.tensors[name], tensor.half()), name
    size = {"weights": 0.4, "moments": 0.65}[carry]
    assert (there / checkpoint.CARRIED).stat().st_size < size * (tmp_path / "here" / checkpoint.name(9)).stat().st_size
    said: list[str] = []
    train(configuration.load(there / "config.yaml"), there, report=said.append)
    assert said[0] == "resumed at step 9 of 20, from the small state in half precision"
    ours, uninterrupted = load_file(there / "model.safetensors"), load_file(whole / "model.safetensors")
    for name, tensor in uninterrupted.items():
        assert torch.allclose(ours[name].float(), tensor.float(), rtol=0, atol=0.03), name


def test_a_checkpoint_is_gone_on_from_before_the_small_state(tree: Tree, tmp_path: Path, whole: Path) -> None:
    config = configuration.parse(tree(stages=STAGES, carry="weights"))
    train(config, tmp_path / "run", report=lambda line: None, stop_at=9)
    said: list[str] = []
    train(config, tmp_path / "run", report=said.append)
    assert said[0] == "resumed at step 9 of 20"
    assert result(tmp_path / "run") == result(whole)


def test_a_damaged_small_state_is_no_new_run(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / checkpoint.CARRIED).write_bytes(b"torn")
    with pytest.raises(InputError, match=r"state\.safetensors: damaged, and there is no checkpoint beside it"):
        train(configuration.parse(tree()), tmp_path, report=lambda line: None)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("what", ["log", "weights", "sheet", "card", "small state"])
def test_a_full_disk_is_one_line_whatever_is_being_written(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A run that was stopped after three steps finds the disk full: it ends in one line, and its checkpoint goes on."""
    config = configuration.parse(tree(carry="weights"))
    train(config, tmp_path, report=lambda line: None, stop_at=3)
    name = {"log": "log.jsonl", "weights": "weights.s", "sheet": ".png", "card": "README.md", "small state": "state.s"}[
        what
    ]

    def full(genuine: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **settings: Any) -> Any:
            if any(name in str(given) for given in args):
                raise FULL
            return genuine(*args, **settings)

        return write

    if what == "log":

        class Full:
            def write(self, text: str) -> None:
                raise FULL

            def close(self) -> None:
                raise FULL

        opened = Path.open
        monkeypatch.setattr(
            Path, "open", lambda path, *how, **more: Full() if how == ("a",) else opened(path, *how, **more)
        )
    else:
        monkeypatch.setattr(atomic.os, "replace", full(os.replace))
    with pytest.raises(InputError, match="No space left on device") as told:
        train(config, tmp_path, report=lambda line: None)
    assert "\n" not in str(told.value)
    assert name in str(told.value)
    monkeypatch.undo()
    assert not list(tmp_path.rglob(f"*{atomic.TEMPORARY_SUFFIX}"))
    train(config, tmp_path, report=lambda line: None)
    assert (tmp_path / "model.safetensors").exists()


def test_counters_of_another_version_are_one_line(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(tree())
    train(config, tmp_path, report=lambda line: None, stop_at=2)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    checkpoint.save(tmp_path, 2, found.tensors, {"counters": '{"moon": 1}'})
    with pytest.raises(InputError, match=r"step_0000002\.safetensors: its counters cannot be read"):
        train(configuration.parse(tree()), tmp_path, report=lambda line: None)
