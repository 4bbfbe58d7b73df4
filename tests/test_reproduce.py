"""Every preset of a paper, from the folder that its authors ship to the model, and the papers' tables, at a tiny size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from unveil import cli
from unveil.models import shelf, weights_file
from unveil.models.importing import import_file
from unveil.networks.clip import CLIP, VisionTower
from unveil.restorer import Restorer
from unveil.testing import tiny_model
from unveil.training import config as configuration
from unveil.training.loop import train

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")

PAIRS = {
    "ISTD_Dataset": [
        *(f"train/train_{{}}/{n}-{n}" for n in (1, 2)),
        *(f"test/test_{{}}/{n}-1" for n in (90, 91)),
    ],
}
FOLDERS: dict[str, list[tuple[str, str]]] = {
    "ISTD_Dataset": [(p.format("A"), p.format("C")) for p in PAIRS["ISTD_Dataset"]],
    "O-HAZE": [(f"hazy/{n:02}_outdoor_hazy", f"GT/{n:02}_outdoor_GT") for n in (1, 2, 41)],
    "HazyDet": [
        (f"{s}/hazy_images/{n}_0", f"{s}/clean_images/{n}_0") for s, n in (("train", 1), ("train", 2), ("test", 3))
    ],
    "REVIDE": [(f"{s}/hazy/J00{n}/1", f"{s}/gt/J00{n}/1") for s, n in (("Train", 1), ("Train", 2), ("Test", 3))],
    "FaceShadow": [
        (f"{s}/degraded/{n}_0", f"{s}/clean/{n}_0") for s, n in (("train", 1), ("train", 2), ("validation", 3))
    ],
    "LOLdataset": [(f"{s}/low/{n}", f"{s}/high/{n}") for s, n in (("our485", 2), ("our485", 5), ("eval15", 1))],
    "raindrop": [(f"train/data/{n}_rain", f"train/gt/{n}_clean") for n in (0, 1)],
    "RainDrop": [(f"train/data/{n}_rain", f"train/gt/{n}_clean") for n in (0, 1)],
    "RESIDE": [(f"ITS/hazy/{n}_1_0.9", f"ITS/clear/{n}") for n in (1, 2)],
    "GoPro": [(f"train/GOPR0{n}_11_00/blur/000001", f"train/GOPR0{n}_11_00/sharp/000001") for n in (384, 385)],
    "Rain100": [
        (f"rain_data_train_Heavy/rain/norain-{n}x2", f"rain_data_train_Heavy/norain/norain-{n}") for n in (1, 2)
    ],
    "DIV2K": [(f"DIV2K_train_LR_bicubic/X4/000{n}x4", f"DIV2K_train_HR/000{n}") for n in (1, 2)],
    "RealSR": [(f"Canon/Test/2/Canon_00{n}_LR2", f"Canon/Test/2/Canon_00{n}_HR") for n in (1, 2)],
    "SRD": [
        (f"{s}/shadow/a{n}", f"{s}/shadow_free/a{n}_no_shadow") for s, n in (("Train", 1), ("Train", 2), ("test", 3))
    ],
}
SMALLER = {"DIV2K": 4, "RealSR": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every benchmark as its authors ship it, with two or three pairs of 48 x 64 pixels."""
    place = tmp_path_factory.mktemp("benchmarks")
    for folder, pairs in FOLDERS.items():
        for seed, (degraded, clean) in enumerate(pairs):
            pixels = (
                np.random.default_rng(seed).integers(40, 200, (12, 16, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
            )
            few = pixels[:: SMALLER.get(folder, 1), :: SMALLER.get(folder, 1)]
            save(place / folder / f"{degraded}.png", few // 2)
            save(place / folder / f"{clean}.png", pixels)
    for n in (90, 91):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 10:40] = 255
        save(place / "ISTD_Dataset" / "test" / "test_B" / f"{n}-1.png", mask)
    for n in (801, 802):
        save(
            place / "DIV2K_valid_HR" / f"0{n}.png",
            np.random.default_rng(n).integers(0, 255, (48, 64, 3)).astype(np.uint8),
        )
    for name in (
        "LSDIR/HR/train/0001000/0000001",
        "LSDIR/HR/train/0001000/0000002",
        "DIV2K_train_HR/0001",
        "DIV2K_train_HR/0002",
    ):
        save(place / f"{name}.png", np.random.default_rng(3).integers(0, 255, (48, 64, 3)).astype(np.uint8))
    return place


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def shrunk(name: str, root: Path) -> dict[str, Any]:
    """The preset with all its stages, one step each, of a few small crops and a network of a few channels."""
    tree = yaml.safe_load(configuration.find(name).read_text())
    tree["data"]["root"] = str(root)
    tree |= {"workers": 0, "precision": "fp32", "minutes": 0}
    tiny = {"base": 8, "mults": [1, 1, 1], "blocks": 1}
    if tree.pop("init", ""):  # the shipped model, of two experts: too large here
        tree["network"] = {"experts": [tiny, tiny]}
    else:
        kept = {k: v for k, v in tree["network"].items() if k in ("kind", "predicts", "half_size", "degradation")}
        if tree["network"].get("guide"):
            tiny |= {"base": 32, "mults": [1, 1]}
            kept["guide"] = str(root / "daclip.safetensors")
        if "correction" in tree["network"]:
            kept["correction"] = {"base": 8, "mults": [1, 1]}
        tree["network"] = kept | tiny | {"head": 8}
    for stage in tree["stages"]:
        stage |= {"steps": 1, "batch": 2, "accumulate": 1, "crop": 32, "warmup": 0}
        if stage.get("view"):
            stage["view"] = 32
    tree["validation"] = {"count": 2, "size": 32}
    return tree


PAPERS = (
    "istd", "ohaze", "hazydet", "revide", "faceshadow", "div2k", "srd", "learnir-paper",
    "resfusion_istd", "resfusion_lol", "resfusion_raindrop", "irsde_wild", "irsde_universal", "daclip_universal", "daclip_wild",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def guide(root: Path) -> Path:
    """The DA-CLIP of the guided presets: a small CLIP with an untrained controller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CLIP(VisionTower(16, 32, 8, 32, 2, 2), 16, 49408, 16, 1, 1)
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, root / "clip.pt")
    return import_file(root / "clip.pt", root / "daclip.safetensors").weights


def test_the_controller_of_daclip_runs_by_its_preset(root: Path, guide: Path, tmp_path: Path) -> None:
    tree = yaml.safe_load(configuration.find("daclip").read_text())
    tree |= {"workers": 0, "precision": "fp32", "init": str(guide)}
    tree["data"] |= {"root": str(root), "photos": ["LSDIR", "DIV2K_train_HR"], "held_out": 0}
    tree["stages"][0] |= {"steps": 1, "batch": 4, "crop": 32, "warmup": 0}
    train(configuration.parse(tree), tmp_path / "run", report=lambda line: None)
    assert weights_file.read_guide(tmp_path / "run" / "model.safetensors")[1].sampler == "guide"


@pytest.mark.parametrize("name", PAPERS)
def test_a_preset_runs_through_all_its_stages(name: str, root: Path, tmp_path: Path) -> None:
    config = configuration.parse(shrunk(name, root))
    said: list[str] = []
    train(config, tmp_path / "run", report=said.append)
    assert "0 and 0 held out for validation" in said[0], "a paper's training set is trained on whole, unless asked"
    model = shelf.load(tmp_path / "run")
    corrected = any(stage.kind in ("correction", "joint") for stage in config.stages)
    assert (model.head is not None) == corrected
    if corrected:
        assert model.spec.defaults.fidelity == 1
        assert "fidelity 1 (" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
        photograph = np.random.default_rng(5).random((40, 48, 3), dtype=np.float32)
        before = Restorer(model, "cpu").restore(photograph, seed=0).image
        for parameter in model.head.parameters():
            parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9)))
        after = Restorer(model, "cpu").restore(photograph, seed=0).image
        assert np.abs(after - before).max() > 1 / 255, "a correction that was trained is used"
    if any(stage.low > 0 for stage in config.stages):
        assert model.spec.defaults.low == 32, "sampling reduces to what training has seen reduced"
    assert f"`{name}`" in PAGE
    # The same command with --check after the run says what would be trained, and trains nothing.
    assert cli.main(["train", str(tmp_path / "run" / "config.yaml"), "-o", str(tmp_path / "run"), "--check"]) == 0


def bench(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    assert cli.main(["bench", *map(str, arguments), "--device", "cpu", "--baselines", "identity"]) == 0
    return capsys.readouterr()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, place = tiny_model(), tmp_path_factory.mktemp("model") / "tiny.safetensors"
    weights_file.write(place, made.spec, made.predictor, made.head)
    return place


def test_table_1_of_learnir(root: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = bench(capsys, "--data", root, "--models", model, "--paper", "learnir", "--table", 1)
    head = next(line for line in out.splitlines() if line.startswith("| method"))
    for column in ("PSNR (dB)", "SSIM", "MAE in Lab", "PSNR (dB), shadow", "SSIM, non-shadow", "MAE in Lab, shadow"):
        assert f"| {column} " in head
    assert out.startswith("## ISTD")
    assert out.count("## ") == 2, "the sets of the table alone, and what they cost"
    assert "LearnIR | 29.57" in out or "29.57 (LearnIR" in out
    assert "MAE in Lab: 5.12" in out or "5.12 (LearnIR" in out
    assert "GMAC an evaluation" in out
    assert err.startswith("unveil: column lpips is left out: ")


def test_tables_1_and_2_of_the_wild_paper(root: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = bench(capsys, "--data", root, "--models", model, "--paper", "daclip-wild", "--table", 1)
    assert out.startswith("## DIV2K wild")
    assert "29.93 (" in out
    for column in ("lpips", "dists", "fid", "niqe"):
        assert f"column {column} is left out" in err
    out, _ = bench(capsys, "--data", root, "--models", model, "--paper", "daclip-wild", "--table", 2)
    assert out.startswith("## RealSR")
    assert "30.65 (" in out


def test_sets_and_zero_shot_methods_by_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = bench(capsys, "--data", root, "--models", "none", "--sets", "FaceShadow,SRD")
    assert "## FaceShadow" in out
    assert "## SRD" in out
    out, _ = bench(capsys, "--data", root, "--models", "diffpir", "--steps", 1, "--sets", "FaceShadow")
    assert "| DiffPIR, 1 steps" in out


def test_a_table_that_is_not_there_is_named_with_those_that_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--data", str(root), "--models", "none", "--paper", "learnir", "--table", "9"]) != 0
    assert "no table '9'" in capsys.readouterr().err
