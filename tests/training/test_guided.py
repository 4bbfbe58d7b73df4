"""IR-SDE guided by DA-CLIP, trained: from CLIP over its controller to a photograph, a network of a few thousand weights each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import unveil
from unveil.errors import InputError, ModelError
from unveil.models.importing import import_file
from unveil.models.network_registry import build as built
from unveil.models.weights_file import sha256_of
from unveil.networks.clip import CLIP, VisionTower
from unveil.restorer import Restorer
from unveil.training import config as configuration
from unveil.training.batches import Source, scan
from unveil.training.describing import described
from unveil.training.learner import build, started_from
from unveil.training.loop import train
from unveil.training.needs import needs
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


def guided(tree: Tree, guide: Path, **changes: Any) -> configuration.Config:
    network = {"kind": "conditional", "predicts": "noise", "base": 32, "mults": [1, 1], "guide": str(guide)}
    settings = {"path": "mean_reverting", "steps": 10, "network": network, "stages": [MATCHING], **changes}
    return configuration.parse(tree(**settings))


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


def test_the_preset_is_the_published_network() -> None:
    config = configuration.load(configuration.find("daclip_universal"))
    with torch.device("meta"):
        network = built(described(config))
    assert sum(p.numel() for p in network.parameters()) == 48_975_747
    assert needs(config, config.stages[0]).total > 48_975_747 * 16


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"kind": "conditional", "guide": "g.safetensors"}, "set network.kind and network.predicts so"),
        ({"kind": "rddm", "predicts": "noise"}, "noise is for kind conditional"),
        ({"kind": "conditional", "predicts": "noise", "context": 16}, "name its file with network.guide"),
        ({"kind": "conditional", "predicts": "noise", "base": 8, "mults": [1, 1], "guide": "g"}, "multiples of 32"),
    ],
)
def test_what_does_not_go_together_is_said(tree: Tree, network: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        configuration.parse(tree(path="mean_reverting", steps=10, network=network, stages=[MATCHING]))


def test_a_guide_of_another_size_is_refused(clip: Path, tree: Tree) -> None:
    network = {
        "kind": "conditional",
        "predicts": "noise",
        "base": 32,
        "mults": [1, 1],
        "guide": str(clip),
        "context": 512,
    }
    with pytest.raises(InputError, match=r"network.context is 512, .* have 16 numbers"):
        started_from(guided(tree, clip, network=network))
