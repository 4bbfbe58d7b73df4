"""DA-CLIP's controller trained from a CLIP of a few hundred weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unveil.cli import main
from unveil.errors import InputError
from unveil.models import describer
from unveil.models.importing import import_file
from unveil.models.weights_file import read_guide
from unveil.networks.clip import CLIP, VisionTower
from unveil.networks.daclip import DACLIP
from unveil.networks.daclip_words import OF_KINDS
from unveil.training import config as configuration
from unveil.training import daclip
from unveil.training.batches import Source


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained DA-CLIP, imported from a checkpoint of CLIP alone as open_clip writes it."""
    torch.manual_seed(0)
    network = CLIP(VisionTower(16, 32, 8, 32, 2, 2), 16, 49408, 16, 1, 1)
    folder = tmp_path_factory.mktemp("clip")
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, folder / "clip.pt")
    import_file(folder / "clip.pt")
    return folder / "clip.safetensors"


def settings(pairs: Path, clip: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "tiny", "seed": 1, "path": "daclip", "init": str(clip), "save_every": 1000,
        "data": {
            "root": str(pairs), "photos": ["clean"], "kinds": {"lowlight": 1, "noise": 1}, "second": 0.3, "clean": 0.2,
            "held_out": 0.3,
        },
        "stages": [{"kind": "contrastive", "steps": 30, "lr": 2e-3, "batch": 12, "crop": 32, "warmup": 5}],
        **changes,
    }  # fmt: skip


def test_clip_alone_becomes_a_da_clip_that_sees_as_clip_does(clip: Path) -> None:
    network, _, _ = read_guide(clip)
    assert isinstance(network, DACLIP)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    content, degradation = network.encode_image(x)
    alone = network.encode_image(x, control=False)
    assert torch.equal(content, alone)
    assert torch.equal(degradation, alone)


def test_training_lowers_the_losses_and_leaves_clip_as_it_is(pairs: Path, clip: Path, tmp_path: Path) -> None:
    said: list[str] = []
    config = configuration.parse(settings(pairs, clip))
    trained = daclip.train(config, tmp_path / "run", report=said.append)
    start, _, _ = read_guide(clip)
    assert isinstance(start, DACLIP)
    for name, value in start.clip.state_dict().items():
        assert torch.equal(trained.clip.state_dict()[name], value), name
    photos = Source(config.data).photos
    names = daclip.Names(start, torch.device("cpu"))
    clean, damaged, words = daclip.batch(photos, config, config.stages[0], 7)

    def total(network: DACLIP) -> float:
        with torch.no_grad():
            return float(torch.stack(daclip.losses(network, clean, damaged, *names(words))).sum())

    assert total(trained) < total(start) - 0.3
    back, _, _ = read_guide(tmp_path / "run" / "model.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(back.state_dict().values(), trained.state_dict().values(), strict=True)
    )
    assert any(line.startswith("held out: the kind of damage is named rightly") for line in said)
    described = describer.load(tmp_path / "run" / "model.safetensors").describe(np.zeros((40, 40, 3), np.float32))
    assert described.speaker.startswith("DA-CLIP from model.safetensors")


def test_batches_are_functions_of_seed_and_step_and_named_by_what_was_done(pairs: Path, clip: Path) -> None:
    config = configuration.parse(settings(pairs, clip))
    photos = Source(config.data).photos
    one, two, other = (daclip.batch(photos, config, config.stages[0], step) for step in (3, 3, 4))
    assert torch.equal(one[1], two[1])
    assert one[2] == two[2]
    assert not torch.equal(one[1], other[1])
    for clean, damaged, words in zip(*one, strict=True):
        assert set(words) <= {"lowlight", "noise"}
        assert torch.equal(clean, damaged) == (words == ())


def test_equal_texts_are_one_group(clip: Path) -> None:
    network, _, _ = read_guide(clip)
    assert isinstance(network, DACLIP)
    texts, group = daclip.Names(network, torch.device("cpu"))(
        [("noise",), (), ("noise",), ("blur", "ringing artifact")]
    )
    assert group.tolist() == [0, 1, 0, 2]
    assert torch.equal(texts[0], texts[2])
    assert not torch.equal(texts[0], texts[1])
    assert set(OF_KINDS) == {"haze", "shadow", "lowlight", "noise", "blur", "jpeg", "rain"}


def test_what_cannot_be_trained_is_said(pairs: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name its file with init"):
        configuration.parse(settings(pairs, clip, init=""))
    with pytest.raises(InputError, match="predictor does not train on path daclip"):
        configuration.parse(settings(pairs, clip, stages=[{"kind": "predictor"}]))


def test_the_command_trains_and_is_not_resumed(
    pairs: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    call = [
        "train",
        "daclip",
        "-o",
        str(run),
        "--init",
        str(clip),
        "--data.root",
        str(pairs),
        "--data.photos",
        "[clean]",
    ]
    tiny = [
        "--stages.0.steps",
        "2",
        "--stages.0.batch",
        "4",
        "--stages.0.crop",
        "32",
        "--precision",
        "fp32",
        "--data.held_out",
        "0",
    ]
    assert main([*call, *tiny, "--device", "cpu"]) == 0
    assert "unveil describe PHOTO -n" in capsys.readouterr().out
    assert main(["train", "--resume", str(run)]) == 2
    assert "is not resumed" in capsys.readouterr().err
