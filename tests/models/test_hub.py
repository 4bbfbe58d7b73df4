"""Models in the hub's conventions: there and back through a folder, and what is sent, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from unveil.errors import ModelError, UnveilWarning
from unveil.models import hub, shelf
from unveil.models.weights_file import sha256_of
from unveil.restorer import Restorer
from unveil.testing import tiny_experts, tiny_model

PHOTO = np.random.default_rng(0).random((24, 20, 3)).astype(np.float32)


@pytest.mark.parametrize("make", [tiny_model, tiny_experts])
def test_a_model_comes_back_as_it_was(make: Any, tmp_path: Path) -> None:
    restorer = Restorer(make(seed=2), "cpu", "fp32")
    folder = restorer.save_pretrained(tmp_path / "new" / "model")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    back = Restorer.from_pretrained(folder, device="cpu", dtype="fp32")
    assert back.model.spec == restorer.model.spec
    settings = {"seed": 3} | ({"fix": "noise"} if back.model.spec.conditioned else {})
    assert np.array_equal(back.restore(PHOTO, **settings).image, restorer.restore(PHOTO, **settings).image)
    assert back.model.sha256 == sha256_of(folder / "model.safetensors")


def test_a_card_that_was_filled_in_is_not_written_over(tmp_path: Path) -> None:
    restorer = Restorer(tiny_model(seed=2), "cpu", "fp32")
    card = restorer.save_pretrained(tmp_path) / "README.md"
    first = card.read_text()
    restorer.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("*.md")] == ["README.md"]
    mine = first.replace("to fill in; the terms of the training data may bind the weights", "MIT")
    card.write_text(mine)
    with pytest.warns(UnveilWarning, match="README.md was changed by hand and stays; the new card is README.new.md"):
        restorer.save_pretrained(tmp_path)
    assert (card.read_text(), (tmp_path / "README.new.md").read_text()) == (mine, first)


def test_a_model_of_the_shelf_keeps_its_file_its_reach_and_its_calibration(tmp_path: Path) -> None:
    model = shelf.load("general")
    hub.save_pretrained(model, tmp_path)
    entry = shelf.manifest()["general"]
    assert sha256_of(tmp_path / "model.safetensors") == entry["sha256"]
    back = hub.from_pretrained(tmp_path)
    assert (back.spec, back.sha256, back.calibrations) == (model.spec, model.sha256, model.calibrations)
    assert back.specialists == model.specialists == {"shadow": "shadow"}
    description = tmp_path / "config.json"
    description.write_text(description.read_text().replace('"shadow": "shadow"', '"shadow": "runs/penumbra"'))
    with pytest.warns(UnveilWarning, match="shadow was mended by runs/penumbra, which is not here"):
        assert not hub.from_pretrained(tmp_path).specialists
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: unveil\nlicense: apache-2.0\npipeline_tag: image-to-image\n")
    assert entry["summary"] in card
    assert entry["licence"] in card
    for name, row in entry["psnr"].items():
        if isinstance(row, dict):
            assert all(f"| {name} |" in card and str(value) in card for value in row.values()), name


def test_half_precision_only_where_nothing_is_lost(tmp_path: Path) -> None:
    model = tiny_experts()
    hub.save_pretrained(model, tmp_path)
    for name, value in hub.from_pretrained(tmp_path).predictor.state_dict().items():
        assert torch.equal(value, model.predictor.state_dict()[name]), name


def test_other_weights_than_described_are_refused(tmp_path: Path) -> None:
    hub.save_pretrained(tiny_experts(1), tmp_path / "a")
    hub.save_pretrained(tiny_experts(2), tmp_path / "b")
    (tmp_path / "a" / "model.safetensors").write_bytes((tmp_path / "b" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="not the one it claims to be"):
        hub.from_pretrained(tmp_path / "a")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "ab", "reach": -1}', '{"sha256": "a", "reach": "far"}'])
def test_descriptions_that_say_nothing_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        hub.from_pretrained(tmp_path)


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        hub.from_pretrained(tmp_path)


def test_a_name_that_is_no_repository_is_refused() -> None:
    with pytest.raises(ModelError, match="no such folder"):
        hub.from_pretrained("no/such/folder/at all")


def test_the_hub_is_asked_for_the_three_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.save_pretrained(tiny_experts(), tmp_path)
    asked: dict[str, Any] = {}

    def download(repo_id: str, **settings: Any) -> str:
        asked.update(settings, repo_id=repo_id)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    back = Restorer.from_pretrained("someone/tiny", device="cpu", revision="v1", local_files_only=True)
    assert back.model.spec.name == "tiny"
    assert (asked["repo_id"], asked["revision"], asked["local_files_only"]) == ("someone/tiny", "v1", True)
    assert asked["allow_patterns"] == ["model.safetensors", "config.json", "README.md"]


def test_pushing_makes_the_repository_and_sends_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    class Repository:
        repo_id = "someone/tiny"

    class Api:
        def __init__(self, **settings: Any) -> None:
            sent["token"] = settings["token"]

        def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> Repository:
            assert exist_ok
            sent["private"] = private
            return Repository()

        def upload_folder(self, *, repo_id: str, folder_path: str, **settings: Any) -> str:
            config = json.loads((Path(folder_path) / "config.json").read_text())
            sent.update(
                settings, repo_id=repo_id, config=config, files=sorted(p.name for p in Path(folder_path).iterdir())
            )
            return "https://huggingface.co/someone/tiny/commit/1"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    where = Restorer(tiny_experts(), "cpu").push_to_hub("tiny", private=True, token="secret", commit_message="first")
    assert where.endswith("/commit/1")
    assert (sent["repo_id"], sent["private"], sent["token"]) == ("someone/tiny", True, "secret")
    assert sent["commit_message"] == "first"
    assert sent["files"] == ["README.md", "config.json", "model.safetensors"]
    assert sent["config"]["spec"]["network"]["kind"] == "experts"


def test_a_hub_that_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Api:
        def __init__(self, **settings: Any) -> None: ...

        def create_repo(self, *args: Any, **settings: Any) -> None:
            raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(ModelError, match=r"a/b: the hub did not take the model \(no route to host\)"):
        hub.push_to_hub(tiny_experts(), "a/b")


def test_load_takes_the_folder_too(tmp_path: Path) -> None:
    """With its reach and its calibrations, as `from_pretrained` does."""
    hub.save_pretrained(shelf.load("general"), tmp_path / "general")
    one, other = shelf.load(tmp_path / "general"), hub.from_pretrained(tmp_path / "general")
    assert (one.spec, one.calibrations, one.sha256) == (other.spec, other.calibrations, other.sha256)
    assert len(one.calibrations) > 1
    assert one.spec.reach > 0
