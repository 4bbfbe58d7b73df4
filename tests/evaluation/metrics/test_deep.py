"""LPIPS, DISTS and FID's features on weights drawn by NumPy give what the authors' packages gave on the same weights and images.

The numbers below are those of lpips 0.1.4, DISTS_pytorch 0.1 and torch-fidelity 0.4.0, run on these weights in torchvision's place.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor, nn

from unveil.errors import InputError
from unveil.evaluation.evaluate import evaluate_folders
from unveil.evaluation.metrics import learned
from unveil.evaluation.metrics.deep import Dists, Features, Lpips, frechet
from unveil.networks.feature_extractors import ALEXNET, Inception, alexnet, vgg16

Save = Callable[..., Path]


def drawn(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights as large as He et al. have them, the same with every release of torch."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            made[name] = value
            continue
        numbers = rng.standard_normal(tuple(value.shape))
        if name.endswith("running_var"):
            numbers = 1 + 0.1 * np.abs(numbers)
        elif value.ndim > 1:
            numbers *= np.sqrt(2 / np.prod(value.shape[1:]))
        else:
            numbers = 0.1 * numbers + name.endswith("bn.weight")
        made[name] = torch.from_numpy(numbers).float()
    return made


class Drawn:
    """What the packages were given, in the order in which it was drawn."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.alexnet, self.vgg16 = drawn(alexnet(), 0), drawn(vgg16(), 1)
        self.heads = {
            f"lin{n}.model.1.weight": torch.from_numpy(rng.random((1, c, 1, 1))).float() for n, c in enumerate(ALEXNET)
        }
        self.x = torch.from_numpy(rng.random((2, 3, 64, 80))).float()
        self.z = (self.x + 0.1 * torch.from_numpy(rng.standard_normal((2, 3, 64, 80))).float()).clamp(0, 1)
        self.dists = {k: torch.from_numpy(rng.random((1, 1475, 1, 1))).float() for k in ("alpha", "beta")}
        self.picture = rng.integers(0, 256, (299, 299, 3)) / 255


@pytest.fixture(scope="module")
def given() -> Drawn:
    return Drawn()


def test_lpips_is_the_packages(given: Drawn) -> None:
    metric = Lpips(given.alexnet, given.heads)
    assert metric(given.z, given.x).tolist() == pytest.approx([0.08517712354660034, 0.08916126191616058], rel=1e-5)
    assert metric(given.x, given.x).tolist() == [0, 0]
    with pytest.raises(InputError, match="32 pixels a side or more, not 40x31"):
        metric(given.x[..., :31, :40], given.z[..., :31, :40])


def test_dists_is_the_packages(given: Drawn) -> None:
    metric = Dists(given.vgg16, given.dists)
    assert metric(given.z, given.x).tolist() == pytest.approx([0.018498659133911133, 0.017535865306854248], abs=5e-7)
    assert metric(given.x, given.x).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_fids_features_are_torch_fidelitys(given: Drawn) -> None:
    look = Features(drawn(Inception(), 2))
    found = look(given.picture)
    assert found[:4] == pytest.approx([0.86941963, 0.80050135, 0.08131345, 0.0132089], rel=1e-4)
    assert found.sum() == pytest.approx(739.3759877, rel=1e-5)
    small = given.picture[::2, ::3]
    assert not np.allclose(look(small), found)
    assert look(small[..., 0]).shape == (2048,)


def test_the_distance_is_that_of_the_gaussians() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((300, 40)), 0.3 + 1.5 * rng.standard_normal((200, 40))
    s, t = (np.cov(side, rowvar=False) for side in (left, right))
    apart = left.mean(0) - right.mean(0)
    known = apart @ apart + np.trace(s) + np.trace(t) - 2 * np.trace(linalg.sqrtm(s @ t)).real
    assert frechet(left, right) == pytest.approx(known, rel=1e-9)
    few = rng.standard_normal((5, 40))
    assert frechet(few, few) == pytest.approx(0, abs=1e-10), "fewer pictures than features"
    assert frechet(few, few + 0.5) == pytest.approx(40 * 0.25)
    with pytest.raises(InputError, match="two pictures or more"):
        frechet(few[:1], few)


def test_other_tensors_are_refused(given: Drawn) -> None:
    with pytest.raises(InputError, match="not the weights of LPIPS"):
        Lpips(given.vgg16, given.heads)
    with pytest.raises(InputError, match="not the weights of DISTS"):
        Dists(given.vgg16, {"alpha": given.dists["alpha"]})
    with pytest.raises(InputError, match="not the weights of FID"):
        Features(given.alexnet)


@pytest.fixture(scope="module")
def kept(given: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn weights under the published names."""
    folder = tmp_path_factory.mktemp("kept")
    files = {"alexnet": given.alexnet, "vgg16": given.vgg16, "dists": given.dists, "inception": drawn(Inception(), 2)}
    for key, tensors in {**files, "lpips": given.heads}.items():
        torch.save(tensors, folder / learned.FILES[key].names[0])
    return folder


@pytest.fixture
def published(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of them in UNVEIL_METRICS, the heads of LPIPS in a wheel; their sha256 for the published ones, and no other place."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for key, file in learned.FILES.items():
        path = kept / file.names[0]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(learned.FILES, key, replace(file, sha256=digest))
        if key == "lpips":
            with zipfile.ZipFile(folder / "lpips-0.1.4-py3-none-any.whl", "w") as wheel:
                wheel.write(path, "lpips/weights/v0.1/alex.pth")
        else:
            (folder / path.name).symlink_to(path)
    monkeypatch.setenv("UNVEIL_METRICS", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    learned.features.cache_clear()
    yield folder
    learned.features.cache_clear()


@pytest.mark.usefixtures("published")
def test_from_files_to_numbers_of_pictures(given: Drawn) -> None:
    left, right = (side[0].permute(1, 2, 0).numpy().astype(np.float64) for side in (given.z, given.x))
    assert learned.load_metric("lpips")(left, right) == pytest.approx(0.0851771, rel=1e-4)
    assert learned.load_metric("dists")(left, right) == pytest.approx(0.0184987, abs=1e-6)


@pytest.mark.usefixtures("published")
def test_fid_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray, noisy: np.ndarray, save: Save
) -> None:
    assert isinstance(learned.features(), Features)
    monkeypatch.setattr(Features, "__call__", lambda self, image: image.mean((0, 1)))
    for name, side in (("pred", noisy), ("target", photo)):
        save(side[:100], f"{name}/a.png")
        save(side[100:, ::-1], f"{name}/b.png")
    report = evaluate_folders(tmp_path / "pred", tmp_path / "target", metrics=["psnr", "fid"])
    sides = [np.stack([part.mean((0, 1)) / 255 for part in (s[:100], s[100:])]) for s in (noisy, photo)]
    assert report.of_sets["fid"] == pytest.approx(frechet(*sides))
    assert report.of_sets["fid"] > 0


def test_what_is_missing_is_said_with_where_it_comes_from(published: Path) -> None:
    (published / "vgg16-397923af.pth").unlink()
    with pytest.raises(
        InputError, match=r"'dists' needs pyiqa.*vgg16-397923af.pth from https://download.pytorch.org.*UNVEIL_METRICS"
    ):
        learned.load_metric("dists")


def test_a_file_that_is_not_the_published_one_is_no_weight(published: Path) -> None:
    (published / "vgg16-397923af.pth").unlink()
    torch.save({}, published / "vgg16-397923af.pth")
    with pytest.raises(InputError, match=r"its sha256 is .* not .* as published; fetch it again from https"):
        learned.load_metric("dists")


def test_a_repository_of_the_hub(published: Path, given: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    def download(repository: str, name: str) -> str:
        assert repository == "somebody/metrics"
        if name == "DISTS_weights-f5e65c96.pth":
            raise EntryNotFoundError(name)
        return str(published / name.replace("weights.pt", "DISTS_weights-f5e65c96.pth"))

    monkeypatch.setenv("UNVEIL_METRICS", "somebody/metrics")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    backbone, heads = learned.tensors("vgg16", "dists")
    assert torch.equal(backbone["features.0.weight"], given.vgg16["features.0.weight"])
    assert torch.equal(heads["alpha"], given.dists["alpha"])
