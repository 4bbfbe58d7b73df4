"""IR-SDE guided by DA-CLIP, trained: from CLIP over its controller to a photograph, a network of a few thousand weights each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import unveil
from unveil.diffusion.irsde import matching_loss, theta_sum
from unveil.diffusion.path import mean_reverting
from unveil.errors import InputError, ModelError
from unveil.models import shelf
from unveil.models.importing import import_file
from unveil.models.network_registry import build as built
from unveil.models.weights_file import sha256_of
from unveil.networks.clip import CLIP, VisionTower, prepared
from unveil.networks.conditional_unet import ConditionalUNet
from unveil.restorer import Restorer
from unveil.training import config as configuration
from unveil.training import settings
from unveil.training.batches import Source, scan
from unveil.training.learner import build, described, needs, started_from
from unveil.training.loop import train
from unveil.training.noising import grid_states
from unveil.training.objectives import objective

Tree = Callable[..., dict[str, Any]]
MATCHING = {"kind": "matching", "steps": 4, "lr": 1e-3, "batch": 3, "crop": 16, "warmup": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP with its untrained controller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CLIP(VisionTower(16, 32, 8, 32, 2, 2), 16, 49408, 16, 1, 1)
    folder = tmp_path_factory.mktemp("clip")
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, folder / "clip.pt")
    return import_file(folder / "clip.pt").weights


@pytest.fixture
def wild_ir(clip: Path, tmp_path: Path) -> Path:
    """A checkpoint of wild-IR with random weights, imported beside its DA-CLIP."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = ConditionalUNet(32, (1, 1), context_dim=16, half_size=True)
    torch.save(network.state_dict(), tmp_path / "wild-ir.pth")
    guide = shutil.copy(clip, tmp_path / "eyes.safetensors")
    return import_file(tmp_path / "wild-ir.pth", tmp_path / "wild-ir.safetensors", guide=guide).weights


def guided(tree: Tree, guide: Path, **changes: Any) -> settings.Config:
    network = {"kind": "conditional", "predicts": "epsilon", "base": 32, "mults": [1, 1], "guide": str(guide)}
    given = {"path": "mean_reverting", "steps": 10, "network": network, "stages": [MATCHING], **changes}
    return configuration.parse(tree(**given))


def silent(_: str) -> None:
    """Nobody reads it."""


def test_from_clip_to_a_photograph(pairs: Path, clip: Path, tree: Tree, tmp_path: Path) -> None:
    photos = {"root": str(pairs), "photos": ["clean"], "kinds": {"lowlight": 1, "noise": 1}, "held_out": 0.0}
    contrastive = {"kind": "contrastive", "steps": 3, "lr": 2e-3, "batch": 6, "crop": 32, "warmup": 1}
    settings = {"name": "eyes", "path": "daclip", "init": str(clip), "data": photos, "stages": [contrastive]}
    train(configuration.parse(settings), tmp_path / "eyes", report=silent)
    guide = tmp_path / "eyes" / "model.safetensors"
    train(guided(tree, guide), tmp_path / "run", report=silent)

    shutil.move(guide, tmp_path / "elsewhere.safetensors")  # the run has its own
    restorer = unveil.load(tmp_path / "run", device="cpu")
    assert isinstance(restorer, Restorer)
    network = restorer.model.spec.network
    assert network["guide"] == {"file": "daclip.safetensors", "sha256": sha256_of(tmp_path / "elsewhere.safetensors")}
    assert (network["context_dim"], network["degradation"]) == (16, True)
    assert str(tmp_path) not in restorer.model.spec.to_json(), "where it lay is nobody's business"
    y = torch.rand(3, 21, 37, generator=torch.Generator().manual_seed(0))
    sde, ode = (restorer.restore(y, seed=1, steps=3, solver=solver) for solver in ("ancestral", "ddim"))
    assert sde.image.shape == (21, 37, 3)
    assert not (sde.image == ode.image).all()
    (tmp_path / "run" / "daclip.safetensors").unlink()
    with pytest.raises(ModelError, match="no such model file"):
        unveil.load(tmp_path / "run", device="cpu")


def test_the_guide_is_heard_and_frozen(clip: Path, tree: Tree) -> None:
    config, _ = started_from(guided(tree, clip))
    assert config.network.context == 16
    learner = build(config)
    assert learner.guide is not None
    before = {k: v.clone() for k, v in learner.guide.network.state_dict().items()}
    with torch.no_grad():  # at first nothing that attends is let through
        for name, p in learner.predictor.named_parameters():
            if "proj_out" in name:
                p.fill_(0.01)
    source = Source(config.data, material=scan(config.data))
    batch = source.stage_batch(config.stages[0], 0, 0)

    def loss() -> float:
        for p in learner.predictor.parameters():
            p.grad = None
        return objective(config.stages[0])(learner, batch, config.stages[0], torch.Generator().manual_seed(0))

    said = loss()
    heard = {n for n, p in learner.predictor.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert "prompt" in heard
    assert any("attn2.to_v" in name for name in heard), "cross-attention learns"
    assert all(p.grad is None for p in learner.guide.network.parameters())
    content, degradation = learner.guide.contexts(batch.y)
    assert content.shape == degradation.shape == (3, 16)
    with torch.no_grad():
        for p in learner.guide.network.visual_control.parameters():
            p.add_(0.3)
    assert loss() != said, "another guide, another loss"
    assert before.keys() == learner.guide.network.state_dict().keys()


def test_a_resumed_run_is_the_uninterrupted_one(clip: Path, tree: Tree, tmp_path: Path) -> None:
    config = guided(tree, clip, save_every=2)
    whole = train(config, tmp_path / "whole", report=silent)
    train(config, tmp_path / "parts", report=silent, stop_at=2)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    parts = train(config, tmp_path / "parts", report=silent)
    for one, two in zip(whole.predictor.parameters(), parts.predictor.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("name", "parameters"), [("daclip_universal", 48_975_747), ("daclip_wild", 49_470_467)])
def test_the_presets_are_the_published_networks(name: str, parameters: int) -> None:
    config = configuration.load(configuration.find(name))
    with torch.device("meta"):
        network = built(described(config))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert needs(config, config.stages[0]).total > parameters * 16


def test_wild_irs_network_is_trained_written_and_run(clip: Path, tree: Tree, tmp_path: Path) -> None:
    network = {"kind": "conditional", "predicts": "epsilon", "base": 32, "mults": [1, 1], "guide": str(clip)}
    config = guided(tree, clip, network={**network, "half_size": True, "degradation": False})
    learner = train(config, tmp_path / "run", report=silent)
    assert len(learner.guide.contexts(torch.zeros(1, 3, 16, 16))) == 1, "it hears what is to be seen alone"
    model = unveil.load(tmp_path / "run", device="cpu").model
    sizes = model.spec.network
    assert (sizes["half_size"], sizes["degradation"], sizes["context_dim"]) == (True, False, 16)
    assert {"downsample.weight", "upsample.1.weight"} < model.predictor.state_dict().keys()
    assert "prompt" not in model.predictor.state_dict()
    for name, one in model.predictor.state_dict().items():
        assert torch.equal(one, learner.predictor.state_dict()[name].half().float()), name
    y = torch.rand(3, 21, 37, generator=torch.Generator().manual_seed(0))
    assert unveil.load(tmp_path / "run", device="cpu").restore(y, seed=1, steps=2).image.shape == (21, 37, 3)


@pytest.mark.parametrize("kind", ["matching", "predictor"])
def test_an_imported_wild_ir_is_trained_further(wild_ir: Path, tree: Tree, tmp_path: Path, kind: str) -> None:
    """Its images are in [0, 1], and its noise half of that on [-1, 1]; its guide lies beside it."""
    stages = [{**MATCHING, "kind": kind, "lr": 1e-2}]
    config = configuration.parse(tree(path="mean_reverting", init=str(wild_ir), stages=stages, ema=0.0, save_every=2))
    whole = train(config, tmp_path / "whole", report=silent)
    before, after = shelf.load(wild_ir), shelf.load(tmp_path / "whole")
    for name in ("value_range", "schedule", "prediction", "time", "multiple_of"):
        assert getattr(after.spec, name) == getattr(before.spec, name)
    assert after.spec.network["guide"] == {
        "file": "daclip.safetensors",
        "sha256": sha256_of(tmp_path / "eyes.safetensors"),
    }
    moved = [
        (a - b).abs().max() for a, b in zip(before.predictor.parameters(), after.predictor.parameters(), strict=True)
    ]
    assert max(moved) > 1e-3
    assert whole.processes[0].steps == 100, "all steps are trained, not those alone that a run takes"

    train(config, tmp_path / "parts", report=silent, stop_at=2)
    parts = train(config, tmp_path / "parts", report=silent)
    for one, two in zip(whole.predictor.parameters(), parts.predictor.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_loss_of_an_imported_wild_ir_is_the_published_one(wild_ir: Path, tree: Tree) -> None:
    """On images in [0, 1] at the noise of 50/255, as its own code computes it from what the network says."""
    config, model = started_from(configuration.parse(tree(path="mean_reverting", init=str(wild_ir), stages=[MATCHING])))
    assert config.network.guide == str(wild_ir.with_name("eyes.safetensors"))
    learner = build(config, model=model)
    learner.predictor.requires_grad_()
    batch = Source(config.data, material=scan(config.data)).stage_batch(config.stages[0], 0, 0)
    said = objective(config.stages[0])(learner, batch, config.stages[0], torch.Generator().manual_seed(3))
    x0, y = (batch.x0 + 1) / 2, (batch.y + 1) / 2
    process = mean_reverting(theta_sum("cosine", 100, 0.005), 50 / 255)
    x_t, t = grid_states(process, replace(batch, x0=x0, y=y), torch.Generator().manual_seed(3))
    assert learner.guide is not None
    with torch.no_grad():
        content = learner.guide.network.encode_image(prepared(y, learner.guide.network.clip.visual.size)).content
        by_hand = matching_loss(process, t, x_t, y, x0, learner.predictor(x_t, y, t.float(), content))
    assert said == pytest.approx(float(by_hand), rel=1e-4)


def test_what_an_imported_network_cannot_be_started_with_is_said(
    wild_ir: Path, clip: Path, tree: Tree, tmp_path: Path
) -> None:
    on_residual = tree(init=str(wild_ir))
    with pytest.raises(InputError, match="set path: mean_reverting"):
        started_from(configuration.parse(on_residual))
    network = {
        "kind": "conditional",
        "predicts": "epsilon",
        "base": 32,
        "mults": [1, 1],
        "guide": "nowhere.safetensors",
    }
    preset = configuration.parse(tree(path="mean_reverting", init=str(wild_ir), network=network, stages=[MATCHING]))
    assert started_from(preset)[0].network.guide == str(wild_ir.with_name("eyes.safetensors")), "its own is taken"
    other = import_file(clip.with_name("clip.pt"), tmp_path / "other.safetensors", half=True).weights
    with pytest.raises(InputError, match="was made with another DA-CLIP than"):
        started_from(replace(preset, network=replace(preset.network, guide=str(other))))
    torch.save(ConditionalUNet(8, (1, 1)).state_dict(), tmp_path / "ir-sde.pth")
    plain = import_file(tmp_path / "ir-sde.pth").weights
    network = {"kind": "conditional", "predicts": "epsilon", "base": 32, "mults": [1, 1], "guide": str(clip)}
    with pytest.raises(InputError, match="is told nothing of what it sees"):
        started_from(
            configuration.parse(tree(path="mean_reverting", init=str(plain), network=network, stages=[MATCHING]))
        )


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"kind": "rddm", "guide": "g.safetensors"}, "network.guide tells networks of kind conditional"),
        ({"kind": "rddm", "half_size": True}, "network.half_size is wild-IR's"),
        ({"kind": "rddm", "predicts": "epsilon"}, "epsilon is for kind conditional"),
        ({"kind": "conditional", "predicts": "epsilon", "context": 16}, "name its file with network.guide"),
        ({"kind": "conditional", "predicts": "epsilon", "base": 8, "mults": [1, 1], "guide": "g"}, "multiples of 32"),
    ],
)
def test_what_does_not_go_together_is_said(tree: Tree, network: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        configuration.parse(tree(path="mean_reverting", steps=10, network=network, stages=[MATCHING]))


def test_a_guide_of_another_size_is_refused(clip: Path, tree: Tree) -> None:
    network = {
        "kind": "conditional",
        "predicts": "epsilon",
        "base": 32,
        "mults": [1, 1],
        "guide": str(clip),
        "context": 512,
    }
    with pytest.raises(InputError, match=r"network.context is 512, .* have 16 numbers"):
        started_from(guided(tree, clip, network=network))
