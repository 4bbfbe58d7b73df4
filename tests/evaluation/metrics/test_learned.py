"""pyiqa is no test dependency: a stand-in shows what is handed to it, and what is said when it is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from unveil.errors import InputError
from unveil.evaluation.metrics import learned
from unveil.evaluation.metrics.learned import load_metric


@pytest.fixture(autouse=True)
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No published weights lie in any of the places."""
    monkeypatch.delenv("UNVEIL_METRICS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    learned.features.cache_clear()


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package cannot be imported, whatever is installed here."""
    monkeypatch.setitem(sys.modules, "pyiqa", None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple]]:
    """A pyiqa that records its calls and returns 0.5."""
    seen: list[tuple[str, tuple]] = []
    module = ModuleType("pyiqa")

    def create_metric(name: str, device: torch.device) -> Any:
        def metric(*inputs: Any) -> torch.Tensor:
            seen.append((name, inputs))
            return torch.tensor([[0.5]])

        return metric

    module.create_metric = create_metric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    return seen


@pytest.mark.parametrize("name", ["lpips", "dists", "niqe", "pi", "musiq", "arniqa", "fid"])
@pytest.mark.usefixtures("missing")
def test_a_missing_package_is_named_with_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "import_module", _not_found)
    with pytest.raises(InputError, match=rf"'{name}' needs pyiqa.*pip install .*\[iqa\]'"):
        load_metric(name)


def _not_found(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_package_broken_by_its_torchvision_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(learned, "import_module", broken)
    with pytest.raises(InputError, match=r"installed but does not load.*torchvision::nms"):
        load_metric("dists")


def test_a_package_without_its_own_dependency_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def halfway(name: str) -> None:
        raise ModuleNotFoundError("No module named 'timm'", name="timm")

    monkeypatch.setattr(learned, "import_module", halfway)
    with pytest.raises(InputError, match="pyiqa is installed but timm is missing"):
        load_metric("musiq")


def test_pairs_go_in_as_rgb_batches_on_the_unit_interval(calls: list, photo: np.ndarray, noisy: np.ndarray) -> None:
    assert load_metric("lpips")(noisy, photo) == 0.5
    name, (left, right) = calls[0]
    assert name == "lpips"
    assert left.shape == right.shape == (1, 3, 200, 240)
    assert left.dtype == torch.float32
    assert np.abs(left[0].permute(1, 2, 0).numpy() - noisy / 255).max() < 1e-7
    assert np.abs(right[0].permute(1, 2, 0).numpy() - photo / 255).max() < 1e-7


def test_single_images_and_folders(calls: list, photo: np.ndarray) -> None:
    assert load_metric("arniqa")(photo[..., 0]) == 0.5
    assert load_metric("fid")("here", "there") == 0.5
    assert calls[0][1][0].shape == (1, 3, 200, 240)
    assert calls[1] == ("fid", ("here", "there"))


def test_weights_that_cannot_be_loaded_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pyiqa")

    def create_metric(name: str, device: torch.device) -> None:
        raise OSError("no route to host")

    module.create_metric = create_metric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    with pytest.raises(InputError, match="weights of the metric 'niqe' could not be loaded: no route"):
        load_metric("niqe")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="known: lpips, dists, niqe"):
        load_metric("ssim")
