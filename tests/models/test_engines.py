"""Other runtimes evaluate the network as torch does, and everything around it is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import unveil
from unveil.errors import InputError
from unveil.models import engines
from unveil.models.model import Model
from unveil.restorer import Restorer
from unveil.testing import tiny_experts, tiny_model


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def need(engine: str) -> None:
    for name in engines.NEEDS[engine]:
        pytest.importorskip(name, reason="comes with an extra")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.9, (height, width, 3)).astype(np.float32)


def agree(engine: str, model: Model, **settings: object) -> None:
    usual = Restorer(model, device="cpu", dtype="fp32")
    other = Restorer(model, device="cpu", dtype="fp32", engine=engine)
    for size, tile in (((40, 56), 0), ((33, 18), 0), ((5, 3), 0), ((1, 1), 0), ((150, 90), 80)):
        y = picture(*size)
        expected, found = (r.restore(y, seed=3, tile=tile, **settings) for r in (usual, other))
        assert np.abs(found.image - expected.image).max() < 1e-3
        # With the light kept, a single pixel stays as it is.
        assert min(size) == 1 or np.abs(expected.image - y).max() > 1e-2


def test_onnx_runtime_says_the_same() -> None:
    """One network alone: writing one takes seconds."""
    need("onnx")
    agree("onnx", tiny_experts(), fix="noise")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_every_network_says_the_same(engine: str) -> None:
    need(engine)
    agree(engine, tiny_experts(), fix="haze,noise")
    agree(engine, tiny_model(), fidelity=0.5)


@pytest.mark.slow
def test_the_protocol_says_which_and_repeats_it(tmp_path: Path) -> None:
    need("onnx")
    from unveil.models.weights_file import write

    model = tiny_model(head=False)
    write(tmp_path / "m.safetensors", model.spec, model.predictor, None)
    y = picture(24, 32)
    out = unveil.load(tmp_path / "m.safetensors", engine="onnx").restore(y, seed=2)
    assert out.protocol["engine"] == "onnx"
    assert out.protocol["dtype"] == "fp32"
    again = unveil.restore(y, **(out.protocol | {"model": tmp_path / "m.safetensors"}))
    assert np.array_equal(again.image, out.image)
    kept = list((tmp_path / "cache").rglob("*.onnx"))
    assert len(kept) == 1
    assert kept[0].name.startswith(out.protocol["sha256"][:32])
    kept[0].write_bytes(b"")
    engines_again = Restorer(
        model, device="cpu", engine="onnx"
    )  # made in memory: neither read from the cache nor kept there
    assert np.allclose(engines_again.restore(y, seed=2).image, out.image, atol=2e-3)


def test_torch_says_so_too() -> None:
    assert Restorer(tiny_experts(), device="cpu").restore(picture(8, 8), fix="noise").protocol["engine"] == "torch"


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown engine 'tensorrt'; known are torch, onnx, openvino"):
        Restorer(tiny_experts(), engine="tensorrt")
    with pytest.raises(InputError, match="zero-shot methods run in torch"):
        unveil.load(method="diffpir", engine="onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx and onnxscript and openvino: .*pip install .*\[openvino\]'"):
        Restorer(tiny_experts(), engine="openvino")


def test_what_does_not_go_together_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(InputError, match="computes in fp32, not bf16"):
        Restorer(tiny_experts(), device="cpu", dtype="bf16", engine="onnx")
    monkeypatch.setattr("unveil.restorer.pick_device", torch.device)  # one that no machine here refuses
    with pytest.raises(InputError, match="runs on processors"):
        Restorer(tiny_experts(), device="meta", dtype="fp32", engine="onnx")
