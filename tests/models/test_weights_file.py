from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unveil.errors import ModelError
from unveil.models.shelf import load
from unveil.models.weights_file import read, sha256_of, write
from unveil.testing import tiny_model


def test_weights_survive_writing_to_half_precision(tmp_path: Path) -> None:
    model = tiny_model(seed=3)
    digest = write(tmp_path / "m.safetensors", model.spec, model.predictor, model.head)
    back = read(tmp_path / "m.safetensors", digest)
    assert back.spec == model.spec
    assert back.sha256 == digest == sha256_of(tmp_path / "m.safetensors")
    for name, value in model.predictor.state_dict().items():
        assert torch.equal(back.predictor.state_dict()[name], value.half().float()), name
    assert model.head is not None
    assert back.head is not None
    x = torch.rand(1, 3, 17, 21) * 2 - 1
    assert (back.predict(x, x, 0.5, 1.0) - model.predict(x, x, 0.5, 1.0)).abs().max() < 5e-3


def test_altered_file_is_refused(tmp_path: Path) -> None:
    model = tiny_model()
    path = tmp_path / "m.safetensors"
    digest = write(path, model.spec, model.predictor, model.head)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="sha256"):
        read(path, digest)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    model = tiny_model()
    path = tmp_path / "m.safetensors"
    write(path, model.spec, model.predictor, model.head)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ModelError, match="damaged"):
        read(path)


def test_foreign_and_misfitting_files_are_named(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="without a description"):
        load(tmp_path / "foreign.safetensors")
    model = tiny_model()
    save_file(
        {"predictor.stem.weight": torch.zeros(1)},
        tmp_path / "misfit.safetensors",
        metadata={"unveil": model.spec.to_json()},
    )
    with pytest.raises(ModelError, match="do not fit"):
        load(tmp_path / "misfit.safetensors")
    with pytest.raises(ModelError, match="no model named"):
        load(tmp_path / "missing.safetensors")
    with pytest.raises(ModelError, match=r"on the hub, unveil.Restorer.from_pretrained\('owner/name'\) downloads it"):
        load("owner/name")
    for prior in ("small-pixel", "small-latent"):
        with pytest.raises(ModelError, match=f"{prior} is a prior, with which .* --method diffpir --prior {prior}"):
            load(prior)
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError, match="finished"):
        load(tmp_path / "run")


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    path = tmp_path / "m.safetensors"
    digest = write(path, model.spec, model.predictor, model.head)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(path, model.spec, tiny_model(seed=9).predictor, model.head)
    assert sha256_of(path) == digest
