"""Model files whose description asks for what no machine has: one clear line, before anything is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from unveil.errors import ModelError
from unveil.models.network_registry import KINDS, Weightless, build
from unveil.models.spec import Spec
from unveil.models.weights_file import read, write
from unveil.testing import tiny_model

HUGE = 10**12
SIZES: dict[str, dict[str, Any]] = {
    "compact": {"base": 8, "mults": [1, 2], "blocks": 1, "bottom": 1, "head": 4},
    "experts": {
        "low": {"base": 8, "mults": [1, 2], "blocks": 1, "bottom": 1, "up_blocks": 1},
        "native": {"base": 8, "mults": [1], "blocks": 1, "bottom": 0, "up_blocks": 2},
    },
    "unet": {"dim": 8, "mults": [1, 2], "channels": 3, "mask_channels": 0},
    "unet_pair": {"dim": 8, "mults": [1, 2], "channels": 3, "mask_channels": 0},
    "shared_encoder_unet": {"dim": 8, "mults": [1, 2], "channels": 3, "mask_channels": 0},
    "conditional_unet": {"nf": 32, "mults": [1, 2], "channels": 3, "context_dim": 4, "degradation": True, "half_size": False},
    "conditional_nafnet": {"width": 8, "encoder": [1, 1], "middle": 1, "decoder": [1, 1], "channels": 3},
    "daclip": {
        "vision": {"embed": 8, "size": 16, "patch": 8, "width": 8, "layers": 1, "heads": 2},
        "text": {"context": 8, "vocabulary": 16, "width": 8, "layers": 1, "heads": 2},
    },
    "classifier": {"kinds": ["haze", "noise"], "width": 8},
}  # fmt: skip


def doctored(path: Path, change: dict[str, Any]) -> Path:
    """A file whose description was changed, as {"defaults.low": 3}, and whose tensors were not."""
    model = tiny_model()
    tree = json.loads(model.spec.to_json())
    for name, value in change.items():
        place = tree
        *outer, last = name.split(".")
        for part in outer:
            place = place[part]
        place[last] = value
    tensors = {f"predictor.{k}": v for k, v in model.predictor.state_dict().items()}
    save_file(tensors, path, metadata={"unveil": json.dumps(tree)})
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_told_without_making_any(kind: str) -> None:
    network = {"kind": kind, **SIZES[kind]}
    with Weightless():
        empty = build(network)
    assert any(p.is_meta for p in empty.parameters())
    assert {k: v.shape for k, v in empty.state_dict().items()} == {
        k: v.shape for k, v in build(network).state_dict().items()
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network.base": HUGE}, "network.base"),
        ({"network.blocks": HUGE}, "network.blocks"),
        ({"network.blocks": 10_000}, "network.blocks"),
        ({"network.bottom": 33}, "network.bottom"),
        ({"network.blocks": -1}, "network.blocks"),
        ({"network.blocks": 1.5}, "network.blocks"),
        ({"network.base": 4096}, "do not fit"),
        ({"network.base": 0}, ""),
        ({"network.mults": [1] * 1000}, "at most 8 entries"),
        ({"network.mults": []}, ""),
        ({"network.mults": 7}, ""),
        ({"network.mults": [HUGE]}, "network.mults"),
        ({"network.head": HUGE}, "network.head"),
        ({"network": 3}, ""),
        ({"network": {"kind": "compact"}}, "not complete"),
        ({"network": {"kind": ["compact"]}}, "kind"),
        ({"network": {"kind": "conditional_nafnet", **SIZES["conditional_nafnet"], "encoder": [HUGE]}}, "network.encoder"),
        ({"network": {"kind": "classifier", "kinds": ["x"], "width": HUGE}}, "network.width"),
        ({"network": {"kind": "daclip", "vision": SIZES["daclip"]["vision"] | {"layers": HUGE}, "text": {}}}, "vision.layers"),
        ({"network": {"kind": "daclip", "vision": SIZES["daclip"]["vision"] | {"heads": 0}, "text": {}}}, ""),
        ({"schedule": f"linear_pro({HUGE})"}, "at most 10000"),
        ({"schedule": "linear_pro(" + "9" * 5000 + ")"}, "schedule"),
        ({"schedule": "mean_reverting(cosine, 999999999, 0.005, 50)"}, "at most 10000"),
        ({"schedule": "mean_reverting(cosine, 100, nan, 50)"}, "at most 10000"),
        ({"schedule": "rddm(decreased, increased, 1000, 1e300)"}, "at most 10000"),
        ({"schedule": 12}, "schedule"),
        ({"multiple_of": HUGE}, "multiple_of"),
        ({"multiple_of": 0}, "multiple_of"),
        ({"min_size": -1}, "min_size"),
        ({"receptive_field": HUGE}, "receptive_field"),
        ({"reach": HUGE}, "reach"),
        ({"defaults.fidelity": 7}, "defaults.fidelity"),
        ({"defaults.fidelity": float("nan")}, "defaults.fidelity"),
        ({"defaults.steps": HUGE}, "defaults.steps"),
        ({"defaults.low": 0}, "defaults.low"),
        ({"defaults.solver": "guess"}, "defaults.solver"),
        ({"defaults.views": 3}, "defaults.views"),
        ({"value_range": [1, -1]}, "value_range"),
        ({"value_range": [0, float("inf")]}, "value_range"),
        ({"dtypes": ["int8"]}, "dtypes"),
        ({"prediction": "future"}, "prediction"),
        ({"sampler": "none"}, "sampler"),
        ({"name": "n" * 100_000}, "name"),
    ],
)  # fmt: skip
def test_a_doctored_description_is_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = doctored(tmp_path / "m.safetensors", change)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert said in text
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400
    assert peak < 50e6


def test_a_description_that_nests_too_deep(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(1)}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"unveil": "[" * 100_000})
    with pytest.raises(ModelError, match="cannot be read"):
        read(tmp_path / "m.safetensors")


def test_tensors_that_nobody_asked_for_are_refused(tmp_path: Path) -> None:
    model = tiny_model()
    tensors = {f"predictor.{k}": v for k, v in model.predictor.state_dict().items()} | {"more": torch.zeros(1)}
    spec = json.loads(model.spec.to_json())
    spec["network"].pop("head", None)
    save_file(tensors, tmp_path / "m.safetensors", metadata={"unveil": json.dumps(spec)})
    with pytest.raises(ModelError, match="more is"):
        read(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"\n  <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"Access denied. Please try again later.", "a text"),
        (b"PK\x03\x04archive/data.pkl", "models import"),
        (b"\x80\x02}q\x00.", "models import"),
        (b"\x00\x01\x02\x03", "damaged"),
        (b"", "damaged"),
    ],
)
def test_what_is_no_model_is_called_what_it_is(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=said):
        read(tmp_path / "m.safetensors")


def test_sound_files_are_read_as_before(tmp_path: Path) -> None:
    model = tiny_model()
    write(tmp_path / "m.safetensors", model.spec, model.predictor, model.head)
    assert read(tmp_path / "m.safetensors").spec == model.spec == Spec.from_json(model.spec.to_json())


def test_looking_at_shapes_does_not_load_torchs_compiler() -> None:
    """Which takes a second and leaves a folder in the temporary folder."""
    code = "import sys; from unveil.models.shelf import load; load('general'); print('torch._dynamo' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == "False\n"
