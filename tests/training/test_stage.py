"""Steps: what is skipped, accumulated, and reported."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unveil.errors import InputError
from unveil.training import config as configuration
from unveil.training import objectives, stage
from unveil.training.batches import Batch, Source
from unveil.training.learner import build
from unveil.training.loop import train
from unveil.training.objectives import objective
from unveil.training.settings import Stage

Tree = Callable[..., dict[str, Any]]


def poisoned(monkeypatch: pytest.MonkeyPatch, bad: Callable[[int], bool], what: float = math.nan) -> list[int]:
    """Make the loss and its gradients non-finite on the calls for which `bad` says so; returns the list of calls."""
    calls: list[int] = []
    real = objectives.predictor

    def goal(learner: Any, *rest: Any) -> float:
        calls.append(len(calls))
        loss = real(learner, *rest)
        if bad(calls[-1]):
            next(learner.predictor.parameters()).grad.mul_(what)  # type: ignore[union-attr]
            return what
        return loss

    monkeypatch.setattr(objectives, "predictor", goal)
    return calls


@pytest.mark.parametrize("supported", [True, False])
def test_slow_half_precision_is_pointed_out(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    said: list[str] = []
    train(configuration.parse(tree(precision="bf16")), tmp_path, report=said.append, stop_at=1)
    assert any("--precision fp32" in line for line in said) == (not supported)


def test_non_finite_steps_are_skipped_and_counted(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, lambda call: call in (1, 2, 4))
    said: list[str] = []
    learner = train(configuration.parse(tree()), tmp_path / "run", report=said.append)
    assert all(bool(torch.isfinite(p).all()) for p in learner.predictor.parameters())
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert line["skipped"] == 3
    assert math.isfinite(line["loss"])
    assert any("3 steps skipped" in s for s in said)
    assert "3 of them skipped" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_losses_that_stay_non_finite_end_the_run_with_advice(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setattr(stage, "BAD_STEPS", 4)
    calls = poisoned(monkeypatch, lambda call: call >= 1, value)
    with pytest.raises(
        InputError, match=r"not finite for 4 steps in a row; resume with a lower --stages\.0\.lr \(now 0\.001\)"
    ):
        train(configuration.parse(tree()), tmp_path / "run", report=lambda line: None)
    assert len(calls) == 5


def test_a_single_finite_step_starts_the_count_again(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BAD_STEPS", 4)
    poisoned(monkeypatch, lambda call: call not in (3, 5))
    train(configuration.parse(tree()), tmp_path / "run", report=lambda line: None)


@pytest.mark.parametrize("held_out", [0, 0.2])
def test_a_run_that_ends_diverged_leaves_no_model(tree: Tree, tmp_path: Path, held_out: float) -> None:
    settings = tree(stages=[{"kind": "predictor", "steps": 6, "lr": 1e3, "batch": 4, "crop": 32, "warmup": 0}])
    settings["data"]["held_out"] = held_out
    with pytest.raises(InputError, match=r"not finite for 50 steps in a row; resume with a lower --stages\.0\.lr"):
        train(configuration.parse(settings), tmp_path / "run", report=lambda line: None)
    assert {p.name for p in (tmp_path / "run").iterdir()} <= {"config.yaml", "log.jsonl", "validation.jsonl"}
    settings["stages"][0]["lr"] = 1e-3  # as advised
    learner = train(configuration.parse(settings), tmp_path / "run", report=lambda line: None)
    assert all(bool(p.isfinite().all()) for p in learner.predictor.parameters())
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_a_run_may_end_with_a_step_that_is_skipped(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = poisoned(monkeypatch, lambda call: call in (5, 6))
    train(configuration.parse(tree()), tmp_path / "run", report=lambda line: None)
    assert len(calls) == 8  # two batches more, until one shows that the weights are sound
    assert "1 of them skipped" in (tmp_path / "run" / "README.md").read_text()
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_an_accumulated_step_is_the_mean_over_its_parts(tree: Tree) -> None:
    config = configuration.parse(tree())
    source, learner = Source(config.data), build(config)
    whole = Stage(batch=4, crop=32, accumulate=2)
    parts = [source.stage_batch(whole, 3, 0, part) for part in range(2)]
    assert all(len(p.x0) == 2 for p in parts)
    assert not torch.equal(parts[0].x0, parts[1].x0)
    separate = []
    for part, batch in enumerate(parts):
        learner.predictor.zero_grad()
        objective(whole)(learner, batch, whole, torch.Generator().manual_seed(part))
        separate.append([p.grad.clone() for p in learner.predictor.parameters() if p.grad is not None])
    learner.predictor.zero_grad()
    for part, batch in enumerate(parts):
        objective(whole)(learner, batch, whole, torch.Generator().manual_seed(part))
    from unveil.training.distributed import World

    together = [p.grad for p in learner.predictor.parameters() if p.grad is not None]
    World().average(together, 2)
    for mean, a, b in zip(together, *separate, strict=True):
        assert torch.allclose(mean, (a + b) / 2, rtol=0, atol=1e-6)


def test_all_parts_of_a_step_are_of_one_size(tree: Tree) -> None:
    config = configuration.parse(tree())
    source = Source(config.data)
    reduced = Stage(batch=8, crop=32, accumulate=4, low=0.5)
    kinds = []
    for step in range(6):
        batches = [source.stage_batch(reduced, 3, step, part) for part in range(4)]
        assert len({(b.low, b.x0.shape) for b in batches}) == 1
        kinds.append(batches[0].low)
    assert len(set(kinds)) == 2


def test_the_rate_warms_up_and_falls_to_a_fiftieth() -> None:
    whole = Stage(steps=1000, lr=0.01, warmup=10)
    rates = [stage.rate(whole, s) for s in range(1000)]
    assert rates[0] == pytest.approx(0.001, rel=1e-3)
    assert max(rates) == pytest.approx(0.01, rel=1e-2)
    assert rates[-1] == pytest.approx(0.01 / 50, rel=1e-2)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_what_a_person_reads(tree: Tree, tmp_path: Path) -> None:
    said: list[str] = []
    train(configuration.parse(tree()), tmp_path / "run", report=said.append)
    assert said[0] == "0 clean photographs and 4 pairs to train on; 0 and 2 held out for validation"
    assert "stage 1 (predictor) step 6/6 loss " in said[1]
    assert all(part in said[1] for part in (" steps/s ", " images/s, ", " left"))
    assert said[2].startswith("validation on 2 held-out crops: ")
    assert (tmp_path / "run" / "validation" / "step_0000006.png").exists()
    assert said[3].endswith(f"unveil restore PHOTO -o OUT -n {tmp_path / 'run'}")


def test_only_the_trained_network_moves(tree: Tree, tmp_path: Path) -> None:
    stages = [
        {"kind": "predictor", "steps": 2, "batch": 2, "crop": 32},
        {"kind": "correction", "steps": 2, "batch": 2, "crop": 32},
    ]
    config = configuration.parse(tree(stages=stages))
    fresh = build(config)
    first = train(config, tmp_path / "run", report=lambda line: None, stop_at=2)
    after = {k: v.clone() for k, v in first.head.state_dict().items()}
    assert all(torch.equal(v, fresh.head.state_dict()[k]) for k, v in after.items())
    assert not all(torch.equal(v, fresh.predictor.state_dict()[k]) for k, v in first.predictor.state_dict().items())
    averaged = checkpointed(tmp_path / "run")
    last = train(config, tmp_path / "run", report=lambda line: None)
    assert not all(torch.equal(v, after[k]) for k, v in last.head.state_dict().items())
    assert all(torch.equal(v, averaged[k]) for k, v in last.predictor.state_dict().items())  # frozen at its average


def checkpointed(folder: Path) -> dict[str, torch.Tensor]:
    from unveil.training.checkpoint import latest

    found = latest(folder)
    assert found is not None
    return {
        k.removeprefix("average.predictor."): v for k, v in found.tensors.items() if k.startswith("average.predictor.")
    }


def test_a_run_without_stages_is_refused(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stages is empty"):
        train(configuration.parse(tree(stages=[])), tmp_path / "run")


def test_several_states_of_each_sample_are_several_samples(tree: Tree) -> None:
    config = configuration.parse(tree())
    batch = Source(config.data).stage_batch(config.stages[0], 3, 0)
    few, many = (dataclasses.replace(config.stages[0], states=n, start=0.5) for n in (1, 3))
    losses = []
    for stage_, given in ((many, batch), (few, batch.repeated(3))):
        learner = build(config)
        losses.append(objective(stage_)(learner, given, stage_, torch.Generator().manual_seed(1)))
    assert losses[0] == losses[1]
    assert len(batch.repeated(3).x0) == 3 * len(batch.x0)


def test_reduced_views_may_be_balanced_on_their_own() -> None:
    x0 = torch.zeros(2, 3, 8, 8)
    y = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    stage_ = Stage(balance=0.25, low_balance=1.0)
    assert objectives.balance(Batch(x0, y, False, torch.zeros(len(x0), 7)), stage_).tolist() == [
        1.0,
        pytest.approx(0.2),
    ]
    assert objectives.balance(Batch(x0, y, True, torch.zeros(len(x0), 7)), stage_).tolist() == [1.0, 0.5]
    assert objectives.balance(Batch(x0, y, True, torch.zeros(len(x0), 7)), Stage(balance=0.25)).tolist() == [
        1.0,
        pytest.approx(0.2),
    ]
