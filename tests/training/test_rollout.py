"""Stages of kind "rollout", runs of two experts, and runs that end with the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import unveil
from unveil.errors import InputError
from unveil.models import shelf, weights_file
from unveil.networks.compact import CompactUNet
from unveil.networks.condition import KINDS, SIZE
from unveil.training import config as configuration
from unveil.training import trainer
from unveil.training.batches import Batch, Source
from unveil.training.loop import train
from unveil.training.noising import after_switch, sampled_conditions

Tree = Callable[..., dict[str, Any]]
SIZES = {"base": 8, "mults": [1, 1, 2], "blocks": 1, "up_blocks": 1}
STAGE = {
    "kind": "rollout",
    "steps": 5,
    "lr": 2e-3,
    "batch": 4,
    "crop": 32,
    "warmup": 1,
    "loss": "psnr",
    "optimiser": "muon",
}
LOW, NATIVE = STAGE | {"expert": "low", "view": 32}, STAGE | {"expert": "native"}


def two(tree: Tree, **changes: Any) -> dict[str, Any]:
    data = tree()["data"]
    data["pairs"][0]["kinds"] = ["lowlight"]
    return tree(**{"network": {"experts": [SIZES, SIZES]}, "data": data, "stages": [LOW, NATIVE], **changes})


def test_each_stage_trains_its_expert_and_the_run_is_a_model_that_takes_kinds(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(two(tree))
    said: list[str] = []
    learner = train(config, tmp_path / "run", report=said.append)
    assert any(line.startswith("validation on 2 held-out crops, told nothing: ") for line in said)
    assert ", told nothing. These crops" in (tmp_path / "run" / "README.md").read_text()
    fresh = train(configuration.parse(two(tree, stages=[NATIVE])), tmp_path / "other", report=lambda line: None)
    assert list(learner.modules) == ["low", "native"]
    moved = [
        not torch.equal(a, b)
        for a, b in zip(learner.modules["low"].parameters(), fresh.modules["low"].parameters(), strict=True)
    ]
    assert any(moved)
    model = unveil.load(tmp_path / "run")
    y = np.random.default_rng(0).random((32, 40, 3), dtype=np.float32)
    dark, noisy = (model.restore(y, fix=kind) for kind in ("lowlight", "noise"))
    assert not np.array_equal(dark.image, noisy.image)
    assert dark.protocol["fidelity"] == 1.0


def test_a_killed_run_with_muon_goes_on_bit_for_bit(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(two(tree))
    train(config, tmp_path / "whole", report=lambda line: None)
    for stop in (3, 5, 8):
        train(config, tmp_path / "parts", report=lambda line: None, stop_at=stop)
    train(config, tmp_path / "parts", report=lambda line: None)
    assert weights_file.sha256_of(tmp_path / "whole/model.safetensors") == weights_file.sha256_of(
        tmp_path / "parts/model.safetensors"
    )


@pytest.mark.parametrize(
    ("kind", "network"), [("rollout", "native"), ("correction", "head")], ids=["rollout", "correction"]
)
def test_all_parts_of_a_step_are_as_many_evaluations(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, network: str
) -> None:
    """Otherwise the processes that share a step would wait for the one whose part is the longest."""
    genuine, calls = trainer.objective, list[list[int]]()

    def counted(of: Any) -> Any:
        goal = genuine(of)

        def loss(learner: Any, *given: Any) -> float:
            calls.append([])
            hook = learner.modules[network].register_forward_hook(lambda *_: calls[-1].append(1))
            value = goal(learner, *given)
            hook.remove()
            return value

        return loss

    monkeypatch.setattr(trainer, "objective", counted)
    settings = {"steps": 10, "batch": 2, "crop": 32, "accumulate": 2}
    chosen = NATIVE | settings | {"forward": 0.3, "first": 0.5} if kind == "rollout" else settings | {"kind": kind}
    first = {"kind": "predictor", **settings, "steps": 1}
    told = two(tree, stages=[chosen]) if kind == "rollout" else tree(stages=[first, chosen])
    train(configuration.parse(told), tmp_path / "run", report=lambda _: None)
    lengths = [len(call) for call in calls]
    assert lengths[::2] == lengths[1::2]
    assert len(set(lengths)) > 1


def test_a_run_ends_when_its_time_is_over_with_weights_that_can_be_used(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(two(tree, minutes=0.06, validation={"count": 1, "size": 16}))
    lines: list[str] = []
    started = time.monotonic()
    train(config, tmp_path / "run", report=lines.append)
    spent = time.monotonic() - started
    assert 2.5 < spent < 15  # 3.6 s of training, then the last validation and the files
    assert unveil.load(tmp_path / "run/weights.safetensors").restore(np.zeros((16, 16, 3), np.float32), fix="noise")
    stages = [line for line in lines if line.startswith("stage")]
    assert any(line.startswith("stage 1") for line in stages)
    assert any(line.startswith("stage 2") for line in stages)  # both had their share


def test_a_run_that_was_stopped_has_only_what_is_left_of_its_time(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(two(tree, minutes=0.05, validation={"count": 1, "size": 16}))
    train(config, tmp_path / "run", report=lambda line: None, stop_at=2)
    from unveil.training.learner import build
    from unveil.training.state import State

    state = State.fresh(config, build(config))
    assert state.load(tmp_path / "run")
    assert 0 < state.counters.seconds < 3
    train(config, tmp_path / "run", report=lambda line: None)
    state.load(tmp_path / "run")
    assert state.counters.seconds == pytest.approx(3.0, abs=1.5)


def test_one_conditioned_network_goes_on_from_the_expert_for_detail_on_another_path(tree: Tree, tmp_path: Path) -> None:
    train(configuration.parse(two(tree)), tmp_path / "two", report=lambda line: None)
    network = {"conditioned": True, "fixes": ["noise", "blur"]}
    one = two(
        tree,
        network=network,
        path="mean_reverting",
        steps=20,
        init=str(tmp_path / "two"),
        stages=[STAGE | {"steps": 4}],
    )
    still = one | {"stages": [STAGE | {"steps": 1, "lr": 0.0}]}
    train(configuration.parse(still), tmp_path / "still", report=lambda line: None)
    learner = train(configuration.parse(one), tmp_path / "one", report=lambda line: None)
    before = shelf.load(str(tmp_path / "two")).predictor.native.state_dict()
    same = shelf.load(str(tmp_path / "still")).predictor.state_dict()
    assert all(torch.equal(before[name], same[name]) for name in before)
    assert any(
        not torch.equal(before[name], now.half().float()) for name, now in learner.predictor.state_dict().items()
    )
    model = unveil.load(tmp_path / "one")
    spec = model.model.spec
    assert (spec.schedule.split("(")[0], spec.fixable, spec.defaults.fidelity) == (
        "mean_reverting",
        ("noise", "blur"),
        1.0,
    )
    y = np.random.default_rng(0).random((32, 40, 3), dtype=np.float32)
    noisy, both = (model.restore(y, fix=kinds) for kinds in ("noise", "all"))
    assert not np.array_equal(noisy.image, both.image)
    assert (
        noisy.protocol["steps"] == spec.defaults.steps
    )  # there is no other expert whose evaluations could be left out
    with pytest.raises(InputError, match="does not fix haze, only noise, blur"):
        model.restore(y, fix="haze")


def test_a_whole_rollout_takes_a_short_run_or_ends_after_its_first_evaluation(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    usual = CompactUNet.forward

    def counted(self: CompactUNet, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        if torch.is_grad_enabled():
            seen.append(1)
        return usual(self, x_t, y, level, condition)

    monkeypatch.setattr(CompactUNet, "forward", counted)
    for first, allowed in ((0.0, {5, 10}), (1.0, {1})):
        stages = [STAGE | {"steps": 1, "forward": 0.0, "first": first}]
        settings = two(tree, network=SIZES | {"conditioned": True}, path="mean_reverting", steps=20, stages=stages)
        for seed in range(3):
            seen.clear()
            train(configuration.parse(settings | {"seed": seed}), tmp_path / f"{first}{seed}", report=lambda line: None)
            assert len(seen) in allowed


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_a_step_may_end_after_the_native_experts_first_evaluation(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: float
) -> None:
    taught = 0
    usual = CompactUNet.forward

    def counted(self: CompactUNet, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        nonlocal taught
        taught += torch.is_grad_enabled()
        return usual(self, x_t, y, level, condition)

    monkeypatch.setattr(CompactUNet, "forward", counted)
    config = configuration.parse(two(tree, stages=[NATIVE | {"forward": 0.0, "first": first}]))
    train(config, tmp_path / "run", report=lambda line: None)
    steps = NATIVE["steps"]
    assert taught == steps if first else taught >= 2 * steps


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": [STAGE]}, "rollout of two experts says which"),
        ({"stages": [STAGE | {"kind": "predictor", "optimiser": "adamw"}]}, "do not train two experts"),
        ({"stages": [LOW | {"kind": "predictor"}]}, "expert belongs to stages of kind rollout"),
        (
            {"network": SIZES | {"conditioned": True}, "stages": [STAGE | {"kind": "predictor"}]},
            "trained by rollout stages",
        ),
        ({"network": SIZES, "stages": [STAGE]}, "trained by rollout stages"),
        ({"network": {"experts": [SIZES, SIZES], "conditioned": True}}, "of one compact network"),
        ({"network": SIZES | {"fixes": ["noise"]}}, "can be told what to fix"),
        ({"network": SIZES | {"conditioned": True, "fixes": ["nose"]}}, "'nose'"),
        ({"stages": [LOW | {"optimiser": "lion"}]}, "'lion'"),
        ({"stages": [LOW | {"loss": "huber"}]}, "'huber'"),
        ({"network": {"experts": [SIZES]}}, "none or two"),
        ({"network": {"experts": [SIZES, SIZES | {"pooled": True}]}}, "tiles would differ"),
        ({"minutes": -1}, "minutes"),
    ],
)
def test_what_does_not_fit_is_named(tree: Tree, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        configuration.parse(two(tree, **changes))


def test_what_a_model_is_to_fix_is_met_in_training(tree: Tree) -> None:
    def asked(*kinds: str) -> dict[str, Any]:
        settings = two(tree, network=SIZES | {"conditioned": True, "fixes": list(kinds)}, stages=[STAGE])
        settings["data"]["kinds"] = {"wild": 1.0, "rain": 0.0}
        return settings

    configuration.parse(asked("noise", "jpeg", "lowlight"))  # by the simulator of wild damage, and by the pairs
    with pytest.raises(InputError, match="nothing in data has haze or rain"):
        configuration.parse(asked("noise", "haze", "rain"))


def test_pairs_say_which_damage_they_have(tree: Tree) -> None:
    config = configuration.parse(two(tree))
    batch = Source(config.data).draw(1, 0, 3, 32, False)
    assert batch.kinds.tolist() == [[float(kind == "lowlight") for kind in KINDS]] * 3
    wrong = two(tree)
    wrong["data"]["pairs"][0]["kinds"] = ["darkness"]
    with pytest.raises(InputError, match="'darkness'"):
        configuration.parse(wrong)


def test_simulated_damage_is_labelled_with_what_was_done(tree: Tree) -> None:
    data = {**tree()["data"], "photos": ["clean"], "pairs": [], "kinds": {"haze": 1.0}, "second": 0.0, "clean": 0.5}
    batch = Source(configuration.parse(tree(data=data)).data).draw(1, 0, 16, 32, False)
    hazy = (batch.x0 != batch.y).flatten(1).any(1)
    assert 0 < hazy.sum() < 16
    assert torch.equal(batch.kinds[:, KINDS.index("haze")] > 0, hazy)
    assert batch.kinds.sum() == hazy.sum()


def test_a_guess_is_as_often_right_as_it_says() -> None:
    """Kinds that are there half of the time: of guesses near p a share p is right, within four standard errors."""
    generator = torch.Generator().manual_seed(3)
    kinds = (torch.rand(20_000, len(KINDS), generator=generator) < 0.5).float()
    told = sampled_conditions(kinds, 0.0, 0.25, generator)
    known = told[:, -2] > 0
    assert 0.48 < known.float().mean() < 0.52
    assert bool((told[~known, : len(KINDS)] == 0).all())
    assert bool((told[:, -1] == 0.25).all())
    guess, truth = told[known, : len(KINDS)].flatten(), kinds[known].flatten()
    for low in (0.0, 0.2, 0.5, 0.8):
        inside = (guess >= low) & (guess < low + 0.2)
        share, count = truth[inside].mean().item(), int(inside.sum())
        assert share == pytest.approx(guess[inside].mean().item(), abs=4 * 0.5 / count**0.5)


def test_the_truth_is_told_to_its_share() -> None:
    kinds = torch.eye(len(KINDS)).repeat(400, 1)
    told = sampled_conditions(kinds, 0.5, 1.0, torch.Generator().manual_seed(0))[:, : len(KINDS)]
    assert (told == kinds).all(1).float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_the_native_expert_keeps_the_light_it_is_given() -> None:
    """y - given is smooth, and what is to be added to it, given - x0, holds no constant part; no light, no shift."""
    generator = torch.Generator().manual_seed(5)
    x0 = torch.rand(2, 3, 32, 32, generator=generator) * 0.2 + 0.2
    y = x0 - 0.4
    kinds = torch.zeros(2, len(KINDS))
    kinds[0, KINDS.index("lowlight")] = 1
    target, given = after_switch(Batch(x0, y, False, kinds), generator)
    assert torch.equal(given[1], y[1])
    assert torch.equal(target[1], x0[1])
    assert torch.allclose(given[0] - target[0], (y - x0)[0] + 0.4, atol=1e-5)  # a constant residual is all light
    assert 0.2 < float((given[0] - y[0]).mean()) < 0.6


def test_a_run_that_starts_from_two_experts_takes_their_sizes_and_weights(tree: Tree, tmp_path: Path) -> None:
    first = train(configuration.parse(two(tree)), tmp_path / "first", report=lambda line: None)
    again = two(tree, init=str(tmp_path / "first"), stages=[NATIVE | {"lr": 0.0}])
    del again["network"]
    second = train(configuration.parse(again), tmp_path / "second", report=lambda line: None)
    sides = [shelf.load(tmp_path / run).spec.defaults.low for run in ("first", "second")]
    assert sides == [32, 32]  # as large as the views that the expert for the light has seen
    assert weights_file.sha256_of(tmp_path / "first/model.safetensors") != ""
    for key in ("low", "native"):
        for a, b in zip(first.modules[key].parameters(), second.modules[key].parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-3)  # files are in half precision


def test_an_expert_that_is_given_more_to_see_begins_as_the_one_it_continues(tree: Tree, tmp_path: Path) -> None:
    first = train(configuration.parse(two(tree)), tmp_path / "first", report=lambda line: None)
    more = {"network": {"experts": [SIZES | {"log_light": True, "pooled": True}, SIZES]}, "stages": [LOW | {"lr": 0.0}]}
    second = train(
        configuration.parse(two(tree, init=str(tmp_path / "first"), **more)),
        tmp_path / "second",
        report=lambda line: None,
    )
    y = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    level, told = torch.full((2,), 0.8), torch.rand(2, SIZE, generator=torch.Generator().manual_seed(1))
    expected, out = (run.modules["low"].eval()(0.5 * y, y, level, told) for run in (first, second))
    assert expected.abs().max() > 1e-3
    assert torch.allclose(out, expected, atol=2e-3)  # files are in half precision


def test_two_experts_inherit_what_one_network_has(tree: Tree, tmp_path: Path) -> None:
    one = train(configuration.parse(tree()), tmp_path / "one", report=lambda line: None)
    stages = [NATIVE | {"lr": 0.0}]
    pair = train(
        configuration.parse(two(tree, init=str(tmp_path / "one"), stages=stages)),
        tmp_path / "two",
        report=lambda line: None,
    )
    for key in ("low", "native"):
        assert torch.allclose(pair.modules[key].stem.weight, one.predictor.stem.weight, atol=1e-3)  # type: ignore[union-attr,operator]
