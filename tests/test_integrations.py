"""The nodes for other programs, against the interface that those document."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from unveil.restorer import Restorer
from unveil.testing import tiny_experts

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The folder as ComfyUI imports it, with a tiny model."""
    path = ROOT / "integrations" / "comfyui" / "unveil_nodes" / "__init__.py"
    if not path.is_file():
        pytest.skip("integrations/ is not part of this copy")
    spec = importlib.util.spec_from_file_location("unveil_nodes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_restorer", lambda model: Restorer(tiny_experts(), "cpu", "fp32"))
    return module


def test_the_node_describes_itself_as_comfyui_asks(nodes: ModuleType) -> None:
    assert set(nodes.NODE_CLASS_MAPPINGS) == set(nodes.NODE_DISPLAY_NAME_MAPPINGS) == {"UnveilRestore"}
    node = nodes.NODE_CLASS_MAPPINGS["UnveilRestore"]
    assert node.RETURN_TYPES == ("IMAGE",)
    assert node.CATEGORY == "image/restoration"
    asked = node.INPUT_TYPES()["required"]
    assert asked["image"] == ("IMAGE",)
    code = getattr(node, node.FUNCTION).__code__
    assert list(code.co_varnames[1 : code.co_argcount]) == list(asked)


def test_the_node_restores_each_image_of_a_batch_and_keeps_its_alpha(nodes: ModuleType) -> None:
    images = torch.rand(2, 20, 24, 4, generator=torch.Generator().manual_seed(0))
    node = nodes.NODE_CLASS_MAPPINGS["UnveilRestore"]()
    (out,) = node.restore(images, "general", "noise", 1.0, -1.0, 3)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert torch.equal(out[..., 3], images[..., 3])
    for got, image in zip(out, images, strict=True):
        wanted = (
            Restorer(tiny_experts(), "cpu", "fp32").restore(image[..., :3].permute(2, 0, 1), fix="noise", seed=3).image
        )
        assert torch.equal(got[..., :3], torch.from_numpy(wanted))
    (same,) = node.restore(images, "general", "noise", 0.0, 1.0, 3)
    assert (same - images).abs().max() < 1e-6
