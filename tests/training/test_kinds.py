"""Networks of other kinds than the compact one, trained, written and run; corrections that attach to any predictor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unveil.diffusion.prediction import from_x0
from unveil.errors import InputError
from unveil.models import shelf, weights_file
from unveil.models.importing.convert import import_file
from unveil.models.network_registry import KINDS, Kind
from unveil.models.spec import Defaults, Spec
from unveil.networks.rddm_unet import UNet
from unveil.restorer import Restorer
from unveil.training import config as configuration
from unveil.training import settings
from unveil.training.batches import Batch
from unveil.training.learner import build, started_from
from unveil.training.loop import train
from unveil.training.noising import grid_states, residual_noise_weight
from unveil.training.objectives import by_index, joint, predictor

Tree = Callable[..., dict[str, Any]]
RDDM = {"kind": "rddm", "base": 8, "mults": [1, 2]}
CORRECTED = {**RDDM, "correction": {"base": 8, "mults": [1, 1]}}


def stage(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "steps": 2, "lr": 1e-3, "batch": 2, "crop": 32, "warmup": 1, **changes}


def batch(low: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(5)
    x0 = torch.rand(6, 3, 16, 16, generator=generator) * 2 - 1
    return Batch(x0, (0.6 * x0 - 0.3).clamp(-1, 1), low, torch.zeros(6, 7))


def randomised(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(9)
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize(
    ("network", "stages"),
    [
        (RDDM, [stage("predictor")]),
        ({"kind": "conditional", "base": 8, "mults": [1, 2]}, [stage("predictor"), stage("predictor", low=1.0, start=0.3)]),
        (CORRECTED, [stage("predictor"), stage("correction")]),
        ({**CORRECTED, "predicts": "residual_noise"}, [stage("joint", target="posterior"), stage("correction")]),
        ({**RDDM, "predicts": "residual_noise"}, [stage("predictor", error="residual_noise"), stage("predictor", low=1.0)]),
        ({"base": 8, "mults": [1, 1, 2], "blocks": 1, "correction": {"base": 8, "mults": [1, 1]}}, [stage("joint", target="forward")]),
        ({"base": 8, "mults": [1, 1, 2], "blocks": 1, "head": 8}, [stage("joint", target="eq51")]),
    ],
)  # fmt: skip
def test_every_kind_of_network_trains_writes_and_restores(
    network: dict[str, Any], stages: list[dict[str, Any]], tree: Tree, tmp_path: Path
) -> None:
    learner = train(
        configuration.parse(tree(network=network, stages=stages)), tmp_path / "run", report=lambda line: None
    )
    model = shelf.load(tmp_path / "run")
    trained = {key for s in stages for key in learner.trained(settings.Stage(**s))}
    assert (model.head is not None) == ("head" in trained)
    assert model.spec.time == ("index" if network.get("predicts") == "residual_noise" else "level")
    photo = np.random.default_rng(0).random((37, 41, 3), dtype=np.float32)  # a size that no level divides
    out = Restorer(model, "cpu").restore(photo, seed=0)
    assert out.image.shape == photo.shape
    assert out.protocol["fidelity"] == (1.0 if model.head is not None else 0.0)
    if model.head is not None:
        randomised(model.head)
        assert np.abs(Restorer(model, "cpu").restore(photo, seed=0).image - out.image).max() > 1 / 255


def test_a_joint_run_resumes_bit_for_bit(tree: Tree, tmp_path: Path) -> None:
    stages = [stage("joint", target="posterior", steps=4)]
    config = configuration.parse(tree(network={**CORRECTED, "predicts": "residual_noise"}, stages=stages))
    whole = train(config, tmp_path / "whole", report=lambda line: None)
    train(config, tmp_path / "parts", report=lambda line: None, stop_at=2)
    resumed = train(config, tmp_path / "parts", report=lambda line: None)
    for key in ("predictor", "head"):
        for one, other in zip(whole.modules[key].parameters(), resumed.modules[key].parameters(), strict=True):
            assert torch.equal(one, other)


def test_the_loss_of_the_residual_noise_is_the_published_one(tree: Tree) -> None:
    """|e_res - e_theta|^2 with Eq. 5's first factor of the step itself, as Resfusion trains it."""
    network = {**RDDM, "predicts": "residual_noise"}
    given = stage("predictor", error="residual_noise")
    config = configuration.parse(tree(network=network, stages=[given]))
    learner, material = build(config), batch()
    process = learner.processes[0]
    x_t, t = grid_states(process, material, torch.Generator().manual_seed(1))
    with torch.no_grad():
        said = learner.predictor(x_t, material.y, (t - 1).float())
        target = by_index(
            lambda i, x0, x, y: from_x0("residual_noise", process, i, x0, x, y), t, material.x0, x_t, material.y
        )
        alpha = torch.tensor([float(process.decay[i] / process.decay[i - 1]) for i in t.tolist()])
        s = torch.tensor([float(process.sigma[i]) for i in t.tolist()])
        eps = by_index(
            lambda i, x0, x, y: (x - float(process.alpha[i]) * x0 - float(process.beta[i]) * y) / float(process.sigma[i]),
            t, material.x0, x_t, material.y,
        )  # fmt: skip
        by_hand = eps + ((1 - alpha) * s / (1 - alpha**2))[:, None, None, None] * (material.y - material.x0)
    torch.testing.assert_close(target, by_hand, rtol=1e-4, atol=1e-4)
    loss = predictor(learner, material, config.stages[0], torch.Generator().manual_seed(1))
    assert loss == pytest.approx(float(((said - target) ** 2).mean()), rel=1e-4)


def test_a_joint_loss_is_the_sum_of_two_and_the_correction_does_not_pull_at_the_predictor(tree: Tree) -> None:
    config = configuration.parse(
        tree(network={**CORRECTED, "predicts": "residual_noise"}, stages=[stage("joint", target="posterior")])
    )
    learner, material = build(config), batch()
    alone = settings.Stage(kind="predictor", error="residual_noise")
    first = predictor(learner, material, alone, torch.Generator().manual_seed(1))
    gradients = [p.grad.clone() for p in learner.predictor.parameters() if p.grad is not None]
    learner.predictor.zero_grad()
    both = joint(learner, material, config.stages[0], torch.Generator().manual_seed(1))
    assert both > first  # an untrained correction says nothing, and the predictor errs
    assert learner.head is not None
    assert any(p.grad is not None and p.grad.any() for p in learner.head.parameters())
    again = [p.grad for p in learner.predictor.parameters() if p.grad is not None]
    for one, other in zip(gradients, again, strict=True):
        torch.testing.assert_close(one, other)


def test_reduced_views_of_the_grid_meet_its_noisy_half(tree: Tree) -> None:
    process = build(configuration.parse(tree(network=RDDM))).processes[0]
    _, t = grid_states(process, batch(low=True).repeated(50), torch.Generator().manual_seed(2))
    assert int(t.min()) == process.steps // 2 + 1
    weights = residual_noise_weight(process, torch.arange(1, process.steps + 1), torch.zeros(1))
    assert weights.argmax() == 0  # the last step tells the clean image best


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A checkpoint of Resfusion with random weights, imported."""
    torch.manual_seed(4)
    state = {f"denoising_module.{k}": v for k, v in UNet(8, (1, 2)).state_dict().items()}
    torch.save(
        {"state_dict": state, "pytorch-lightning_version": "2.0", "epoch": 0, "global_step": 0},
        tmp_path / "official.ckpt",
    )
    import_file(tmp_path / "official.ckpt", tmp_path / "official.safetensors")
    return tmp_path / "official.safetensors"


def test_a_correction_attaches_to_an_imported_network(published: Path, tree: Tree, tmp_path: Path) -> None:
    changes = {"init": str(published), "network": {"correction": {"base": 8, "mults": [1, 1]}}}
    config = configuration.parse(tree(stages=[stage("adapter", steps=3)], **changes))
    train(config, tmp_path / "run", report=lambda line: None)
    before, after = shelf.load(published), shelf.load(tmp_path / "run")
    for one, other in zip(before.predictor.parameters(), after.predictor.parameters(), strict=True):
        assert torch.equal(one, other)
    assert after.head is not None
    assert (after.spec.prediction, after.spec.schedule) == (before.spec.prediction, before.spec.schedule)
    assert after.spec.defaults.fidelity == 1.0
    photo = np.random.default_rng(1).random((24, 24, 3), dtype=np.float32)
    plain = Restorer(after, "cpu").restore(photo, seed=0, fidelity=0.0).image
    assert np.abs(plain - Restorer(after, "cpu").restore(photo, seed=0).image).max() > 0


def test_an_imported_network_can_be_trained_further(published: Path, tree: Tree, tmp_path: Path) -> None:
    config = configuration.parse(
        tree(stages=[stage("predictor", error="residual_noise", lr=1e-2)], init=str(published), ema=0.0)
    )
    train(config, tmp_path / "run", report=lambda line: None)
    before, after = shelf.load(published), shelf.load(tmp_path / "run")
    moved = [
        float((a - b).abs().max())
        for a, b in zip(before.predictor.parameters(), after.predictor.parameters(), strict=True)
    ]
    assert max(moved) > 1e-3
    with pytest.raises(InputError, match=r"network\.correction\.base"):
        started_from(configuration.parse(tree(stages=[stage("correction")], init=str(published))))


class Plain(torch.nn.Module):
    """A network of somebody's own, as docs/extend.md has it: no answer, the residual alone."""

    multiple_of = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.only = torch.nn.Conv2d(6, 3, 3, padding=width)

    def forward(self, x_t: torch.Tensor, y: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.only(torch.cat([x_t, y], dim=1))


def test_a_correction_attaches_to_a_network_of_ones_own(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "plain", Kind(Plain, ("width",)))
    spec = Spec(
        "mine", {"kind": "plain", "width": 1}, multiple_of=1, receptive_field=5, defaults=Defaults(resolution="off")
    )
    weights_file.write(tmp_path / "mine.safetensors", spec, Plain(1), None)
    config = configuration.parse(
        tree(
            stages=[stage("adapter")],
            init=str(tmp_path / "mine.safetensors"),
            network={"correction": {"base": 8, "mults": [1, 1]}},
        )
    )
    train(config, tmp_path / "run", report=lambda line: None)
    model = shelf.load(tmp_path / "run")
    assert model.head is not None
    photo = np.random.default_rng(1).random((19, 24, 3), dtype=np.float32)
    before = Restorer(model, "cpu").restore(photo, seed=0).image
    randomised(model.head)
    assert np.abs(Restorer(model, "cpu").restore(photo, seed=0).image - before).max() > 1 / 255


def test_what_does_not_go_together_is_refused(tree: Tree) -> None:
    for network, stages, message in (
        ({"kind": "rdm"}, [stage("predictor")], "did you mean rddm"),
        (RDDM, [stage("predictor"), stage("correction")], "network.correction.base"),
        ({"predicts": "residual_noise"}, [stage("predictor")], "a compact network predicts the residual"),
        (CORRECTED, [stage("joint")], "posterior, forward or eq51"),
        ({"kind": "rddm", "base": 12, "mults": [1, 2]}, [stage("predictor")], "multiple of 8"),
        ({**RDDM, "predicts": "residual_noise"}, [stage("predictor", start=0.5)], "told the noise level"),
        (RDDM, [stage("regression", error="residual_noise")], "belongs to predictor stages"),
    ):
        with pytest.raises(InputError, match=message):
            configuration.parse(tree(network=network, stages=stages))
