"""Configurations: typed, nested, checked, and the same after a round trip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from unveil.errors import InputError
from unveil.training import config as configuration
from unveil.training import settings
from unveil.training.settings import Config, Stage

Tree = Callable[..., dict[str, Any]]


def test_a_round_trip_changes_nothing(tree: Tree) -> None:
    config = configuration.parse(tree(init="general", workers=3))
    assert configuration.parse(yaml.safe_load(configuration.dump(config))) == config
    assert config.stages[0] == Stage("predictor", 6, 1e-3, 4, 32, warmup=2)


@pytest.mark.parametrize("name", configuration.presets())
def test_every_preset_is_valid_and_says_what_to_expect(name: str) -> None:
    path = configuration.find(name)
    config = configuration.load(path)
    assert config.name == name
    assert config.stages
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("Expect" in line for line in header), (
        "each preset names a number and its protocol, or says that there is none"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sed": 1}, "unknown setting sed; did you mean seed?"),
        ({"data": {"rot": "x"}}, "unknown setting data.rot; did you mean root?"),
        ({"stages": [{"kind": "predictor"}, {"stepz": 3}]}, "unknown setting stages.1.stepz; did you mean steps?"),
        ({"seed": "many"}, "seed must be a whole number, got 'many'"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": float("nan")}, "seed must be a whole number, got nan"),
        ({"stages": [{"steps": float("inf")}]}, "stages.0.steps must be a whole number, got inf"),
        ({"checkpointing": "yes"}, "checkpointing must be true or false, got 'yes'"),
        ({"stages": {"kind": "predictor"}}, "stages must be a list"),
        ({"network": 3}, "network must be a mapping"),
        ({"data": {"pairs": [{"degraded": ["a"]}]}}, "data.pairs.0.degraded must be text"),
        ({"seed": 2**70}, "seed must be between -9.0072e+15 and 9.0072e+15"),
        ({"steps": 4}, "steps: 'linear_pro(4)' describes no path: linear_pro is undefined for T = 4"),
        ({"path": "mean_reverting", "steps": 0}, "needs at least one step, got 0"),
        ({"precision": "fp16"}, "precision: 'fp16' is not known; did you mean bf16?"),
        ({"stages": [{"kind": "corection"}]}, "stages.0.kind: 'corection' is not known; did you mean correction?"),
        ({"stages": [{"target": "eq50"}]}, "did you mean eq51?"),
        ({"stages": [{"crop": 100}]}, "stages.0.crop must be a multiple of 8"),
        ({"stages": [{"batch": 9, "accumulate": 2}]}, "must be a multiple of stages.0.accumulate"),
        ({"stages": [{"steps": 0}]}, "stages.0.steps must be at least 1"),
        ({"stages": [{"low": 1.5}]}, "stages.0.low must be between 0 and 1"),
        ({"stages": [{"lr": float("nan")}]}, "stages.0.lr must be at least 0"),
        ({"stages": [{"kind": "adapter"}]}, "adapter of an untrained predictor"),
        ({"network": {"mults": [1, 2]}}, "needs three levels"),
        ({"data": {}}, "neither photos nor pairs"),
        ({"data": {"photos": ["a"], "kinds": {"haz": 1}}}, "did you mean haze?"),
        ({"data": {"photos": ["a"], "kinds": {"noise": 0}}}, "the weights of data.kinds are all zero"),
        ({"data": {"photos": ["a"], "pairs": [{"folder": "b", "weight": 1.0}]}}, "leaves nothing for data.photos"),
        ({"data": {"pairs": [{"degraded": "a"}]}}, "needs either degraded and clean, two folders, or folder"),
        ({"data": {"pairs": [{"degraded": "a", "clean": "b", "match": "name"}]}}, "known are stem, order"),
        ({"ema": 2}, "ema must be between 0 and 1"),
    ],
)
def test_a_wrong_setting_is_named(tree: Tree, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        configuration.parse(tree(**changes))
    assert message in str(caught.value)


def test_numbers_that_yaml_reads_as_text(tree: Tree) -> None:
    assert yaml.safe_load("8e-4") == "8e-4"
    assert configuration.parse(tree(stages=[{"lr": "8e-4", "crop": 32}])).stages[0].lr == 8e-4


def write(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(tree))
    return path


def test_overrides_reach_every_level(tree: Tree, tmp_path: Path) -> None:
    path = write(tmp_path / "config.yaml", tree())
    changes = {
        "seed": "7",
        "data.root": "elsewhere",
        "stages.0.steps": "99",
        "data.photos": "[a, b]",
        "data.pairs.0.weight": "0.5",
    }
    config = configuration.load(path, changes)
    assert (config.seed, config.data.root, config.stages[0].steps, config.data.photos) == (
        7,
        "elsewhere",
        99,
        ["a", "b"],
    )
    grown = configuration.load(path, {"stages.1.kind": "correction", "stages.1.crop": "32"})
    assert [s.kind for s in grown.stages] == ["predictor", "correction"]


@pytest.mark.parametrize("key", ["stages.5.steps", "seed.deep", "stages.first.steps"])
def test_an_override_that_leads_nowhere_is_named(tree: Tree, tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        configuration.load(write(tmp_path / "config.yaml", tree()), {key: "1"})


@pytest.mark.parametrize("text", ["", "*_gt", "no", "null", "2026-11-29", "0012", "1e3", "&a", "[odd"])
def test_text_is_taken_as_it_was_typed(tree: Tree, tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "config.yaml", tree())
    assert configuration.load(path, {"data.pairs.0.clean_name": text}).data.pairs[0].clean_name == text
    with pytest.raises(InputError, match=r"seed must be a whole number"):
        configuration.load(path, {"seed": text + "x"})


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "not valid YAML"), ("- 1\n- 2", "a mapping of settings"), ("", "neither photos")]
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        configuration.load(tmp_path / "config.yaml")
    assert "config.yaml" in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        configuration.load(tmp_path / "missing.yaml")


def test_presets_are_found_by_name_and_near_names_are_offered(tmp_path: Path) -> None:
    assert configuration.find("general").name == "general.yaml"
    with pytest.raises(InputError, match=r"did you mean .*general"):
        configuration.find("generl")
    own = write(tmp_path / "mine.yaml", {})
    assert configuration.find(str(own)) == own


def test_a_configuration_of_0_1_that_predicts_noise_is_the_same_run(tree: Tree) -> None:
    network = {"kind": "conditional", "base": 32, "mults": [1, 1]}
    old, new = (
        configuration.parse(tree(path="mean_reverting", network={**network, "predicts": name}))
        for name in ("noise", "epsilon")
    )
    assert old.network.predicts == "epsilon"
    assert configuration.same_run(old, new) == []


def test_which_changes_leave_a_result_as_it_is(tree: Tree) -> None:
    config = configuration.parse(tree())
    harmless = configuration.parse(
        tree(workers=7, device="cpu", checkpointing=True, validation={"every": 3}, save_every=9)
    )
    assert configuration.same_run(config, harmless) == []
    moved = tree()
    moved["data"] = {**moved["data"], "root": "elsewhere", "cache": 10}
    assert configuration.same_run(config, configuration.parse(moved)) == []
    assert configuration.same_run(config, configuration.parse(tree(seed=4, precision="bf16"))) == ["precision", "seed"]
    longer = configuration.parse(tree(stages=[*tree()["stages"], {"crop": 32}]))
    assert all(k.startswith("stages.1.") for k in configuration.same_run(config, longer))
    assert settings.total_steps(longer) == 1006


def test_defaults_are_those_of_an_empty_configuration() -> None:
    assert Config().stages == []
    assert Config().device == "auto"


def test_a_file_is_blamed_for_what_stands_in_it_alone(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree()))
    load = configuration.load
    with pytest.raises(InputError, match=r"unknown setting stages\.0\.stpes; did you mean steps") as told:
        load(path, {"stages.0.stpes": "2"})
    assert "mine.yaml" not in str(told.value)
    path.write_text(yaml.safe_dump(tree(seeed=1)))
    with pytest.raises(InputError, match=r"unknown setting seeed; .* \(in .*mine\.yaml\)"):
        load(path, {"stages.0.steps": "2"})
