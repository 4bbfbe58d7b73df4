"""What a run leaves behind, and starting another from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unveil.errors import InputError, ModelError
from unveil.models import shelf, weights_file
from unveil.networks.compact import CompactUNet, CorrectionHead
from unveil.restorer import Restorer, load
from unveil.training import config as configuration
from unveil.training.export import export, reach
from unveil.training.learner import build, started_from
from unveil.training.loop import train
from unveil.training.settings import Network

Tree = Callable[..., dict[str, Any]]


def stage(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "steps": 2, "batch": 2, "crop": 32, **changes}


@pytest.fixture(scope="module")
def run(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a predictor and its correction."""
    folder = tmp_path_factory.mktemp("export") / "run"
    stages = [stage("predictor"), stage("correction")]
    train(configuration.parse(tree(stages=stages)), folder, report=lambda line: None)
    return folder


def test_a_run_is_a_model_that_restores(run: Path, tmp_path: Path) -> None:
    restorer = load(run)
    spec = restorer.model.spec
    assert (spec.name, spec.sampler, spec.schedule, spec.multiple_of) == ("tiny", "diffusion", "linear_pro(12)", 8)
    assert restorer.model.head is not None
    assert spec.recipe["steps_done"] == 4
    assert spec.recipe["seed"] == 3
    assert "cores" in spec.recipe["machine"]
    assert spec.recipe["validation"]["count"] == 2
    assert spec.recipe["config"]["data"]["root"] == ".", "a model file must not tell where its maker kept the data"
    photo = np.random.default_rng(0).random((30, 41, 3)).astype(np.float32)
    restored = restorer.restore(photo, seed=1)
    assert restored.image.shape == photo.shape
    assert np.isfinite(restored.image).all()


def test_the_model_file_holds_the_averages_at_half_precision(run: Path) -> None:
    from unveil.training.checkpoint import latest

    found, model = latest(run), shelf.load(run)
    assert found is not None
    for name, parameter in model.predictor.named_parameters():
        assert torch.equal(parameter, found.tensors[f"average.predictor.{name}"].half().float())


def test_the_card_says_what_was_seen_done_and_measured(run: Path) -> None:
    card = (run / "README.md").read_text()
    model = shelf.load(run)
    numbers = json.loads((run / "validation.jsonl").read_text().splitlines()[-1])
    for part in (
        "4 pairs",
        "| predictor | 2 | 2 | 32 px |",
        f"{numbers['psnr']:.2f} dB",
        "held out",
        "To fill in",
        model.sha256,
    ):
        assert part in card
    assert str(run) not in card


def test_a_finished_run_is_left_as_it_is(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(tree())
    train(config, tmp_path, report=lambda line: None)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir() if path.is_file()}
    said: list[str] = []
    learner = train(config, tmp_path, report=said.append)
    assert said == [f"{tmp_path} is finished, at step 6: its model.safetensors is there; nothing was changed"]
    assert {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir() if path.is_file()
    } == before
    for name, parameter in shelf.load(tmp_path).predictor.named_parameters():
        assert torch.equal(parameter, learner.predictor.get_parameter(name).half().float())


def test_a_card_that_was_filled_in_is_not_written_over(tree: Tree, tmp_path: Path) -> None:
    config, card, model = configuration.parse(tree()), tmp_path / "README.md", tmp_path / "model.safetensors"
    train(config, tmp_path, report=lambda line: None)
    first = card.read_text()
    model.unlink()
    said: list[str] = []
    train(config, tmp_path, report=said.append)  # as it was generated: written again in its place
    assert card.read_text() == first
    assert not (tmp_path / "README.new.md").exists()
    mine = first.replace(
        "To fill in. The terms of the training data may bind the weights.", "MIT, as the photographs are."
    )
    card.write_text(mine)
    model.unlink()
    train(config, tmp_path, report=said.append)
    assert card.read_text() == mine
    assert (tmp_path / "README.new.md").read_text() == first
    assert said[-1].startswith(f"{card} was changed by hand and stays, the new card is README.new.md; wrote ")


def test_the_last_sheet_has_three_columns(run: Path) -> None:
    from PIL import Image

    with Image.open(run / "validation" / "step_0000004.png") as sheet:
        assert sheet.size == (3 * 32 + 2 * 4, 2 * 32 + 4)


def test_kinds_of_runs_become_kinds_of_models(tree: Tree, tmp_path: Path) -> None:
    def exported(*stages: dict[str, Any], **changes: Any) -> Any:
        config = configuration.parse(tree(stages=list(stages), **changes))
        export(build(config), config, tmp_path / "model.safetensors")
        return shelf.load(tmp_path / "model.safetensors")

    one_shot = exported(stage("regression"))
    assert (one_shot.spec.sampler, one_shot.head, one_shot.spec.defaults.resolution) == ("one_shot", None, "off")
    plain = exported(stage("predictor"))
    assert (plain.spec.sampler, plain.head) == ("diffusion", None)  # a head that no stage trained is left out
    assert exported(stage("predictor"), stage("correction")).spec.defaults.fidelity == 1.0
    assert exported(stage("predictor"), stage("adapter")).spec.defaults.fidelity == 1.0
    reduced = exported(stage("predictor"), stage("predictor", low=0.5, view=48), stage("correction", low=0.4, crop=64))
    assert reduced.spec.defaults.low == 128  # the correction's views: twice its crop
    assert exported(stage("predictor", low=0.5, view=48)).spec.defaults.low == 48
    assert exported(stage("predictor"), steps=25).spec.defaults.steps == 10  # T' of linear_pro(25)
    assert exported(stage("predictor"), steps=25).spec.process().steps == 10


def test_a_model_that_cannot_be_written_is_said_so(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(tree())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="could not be written"):
        export(build(config), config, tmp_path / "file" / "model.safetensors")


@pytest.mark.parametrize(("head", "bottom"), [(False, 0), (True, 0), (True, 1)])
def test_nothing_outside_the_stated_reach_is_seen(head: bool, bottom: int) -> None:
    size = Network(8, [1, 1, 1], 1, 8, bottom)
    torch.manual_seed(0)
    predictor, correction = CompactUNet(8, (1, 1, 1), 1, bottom), CorrectionHead((8, 8, 8), 8)
    for module in (predictor, correction):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    seen = 0
    for place in (128, 133, 135):
        x, y = torch.randn(1, 3, 256, 256, requires_grad=True), torch.randn(1, 3, 256, 256)
        answer = predictor.answer(x, y, torch.full((1,), 0.5))
        out = answer.residual
        if head:
            out = out + correction(answer, torch.ones(1))
        out[0, 0, place, place].backward()
        assert x.grad is not None
        seen = max(seen, int((x.grad.abs().sum((0, 1)).nonzero() - place).abs().max()))
    assert reach(size, head) - 12 <= seen <= reach(size, head)


def test_a_deeper_network_starts_as_the_model_it_starts_from(run: Path, tree: Tree) -> None:
    config, model = started_from(configuration.parse(tree(init=str(run), network={"bottom": 2})))
    assert (config.network.base, config.network.bottom) == (8, 2)
    mine, theirs = build(config, model=model).predictor, shelf.load(run).predictor
    assert len(mine.state_dict()) > len(theirs.state_dict())
    x, y = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    level = torch.full((2,), 0.5)
    # Blocks that begin as the identity change nothing but the order of sums in memory.
    torch.testing.assert_close(mine(x, y, level), theirs(x, y, level), rtol=1e-3, atol=1e-9)


def test_starting_from_a_model_takes_its_network_and_weights(run: Path, tree: Tree) -> None:
    config, model = started_from(configuration.parse(tree(init=str(run), network={"base": 99, "mults": [1, 2, 4, 4]})))
    assert (config.network.base, config.network.mults, config.network.head) == (8, [1, 1, 2], 8)
    learner = build(config, model=model)
    wanted = shelf.load(run)
    assert wanted.head is not None
    for mine, theirs in ((learner.predictor, wanted.predictor), (learner.head, wanted.head)):
        assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in mine.state_dict().items())
    tall = tree(init=str(run), network={"base": 8, "mults": [1, 2, 4, 4, 4]})
    assert configuration.parse(tall).init  # 32 px are too few for the network stated, but not for the model's own
    with pytest.raises(InputError, match=r"crop must be a multiple of 8"):
        started_from(configuration.parse(tree(init=str(run), stages=[stage("predictor", crop=44)])))
    with pytest.raises(ModelError, match="no model named"):
        started_from(replace(config, init="generl"))
    with pytest.raises(InputError, match=r"linear_pro\(12\), this run says steps: 20"):
        started_from(replace(config, steps=20))


@pytest.mark.parametrize("kind", ["adapter", "predictor"])
def test_fine_tuning_moves_one_network_and_leaves_the_other(run: Path, tree: Tree, tmp_path: Path, kind: str) -> None:
    before = shelf.load(run)
    config = configuration.parse(tree(init=str(run), stages=[stage(kind, steps=3)], ema=0.0))
    train(config, tmp_path / "tuned", report=lambda line: None)
    after = shelf.load(tmp_path / "tuned")
    same = [torch.equal(a, b) for a, b in zip(before.predictor.parameters(), after.predictor.parameters(), strict=True)]
    assert all(same) if kind == "adapter" else not all(same)
    assert (after.head is not None) == (kind == "adapter")
    if kind == "adapter":
        assert before.head is not None
        assert after.head is not None
        moved = [not torch.equal(a, b) for a, b in zip(before.head.parameters(), after.head.parameters(), strict=True)]
        assert any(moved)
        assert after.spec.defaults.fidelity == 1.0


def test_a_regression_run_is_evaluated_once(tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(tree(stages=[stage("regression", steps=3)]))
    said: list[str] = []
    train(config, tmp_path / "run", report=said.append)
    restorer = load(tmp_path / "run")
    assert "one evaluation" in restorer.model.spec.recipe["validation"]["protocol"]
    photo = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    restorer.restore(photo, seed=0)  # the first call also measures what the network needs
    seen: list[int] = []
    predict = restorer.model.predictor.features
    restorer.model.predictor.features = lambda *a: (seen.append(1), predict(*a))[1]  # type: ignore[method-assign]
    restorer.restore(photo, seed=0)
    assert len(seen) == 1


def test_a_trained_correction_is_used_by_default(tree: Tree, tmp_path: Path) -> None:
    """A head of random numbers changes what the model returns when nobody says anything."""
    stages = [stage("predictor", steps=2), stage("correction", steps=2)]
    train(configuration.parse(tree(stages=stages)), tmp_path / "run", report=lambda line: None)
    model = weights_file.read(tmp_path / "run" / "model.safetensors")
    assert model.head is not None
    y = np.random.default_rng(0).random((32, 32, 3), dtype=np.float32)
    before = Restorer(model, "cpu").restore(y).image
    torch.manual_seed(0)
    for parameter in model.head.parameters():
        parameter.data.normal_(std=0.3)
    assert np.abs(Restorer(model, "cpu").restore(y).image - before).max() > 1 / 255
