"""Networks that are shown where the damage is: the mask reaches them as published, from files, folders, arrays and benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unveil
from unveil import cli
from unveil.errors import InputError
from unveil.masked import MaskedRestorer
from unveil.models import shelf
from unveil.models.importing import import_file
from unveil.models.model import encode_mask
from unveil.networks.rddm_unet import UNet
from unveil.restorer import Restorer
from unveil.testing import tiny_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of Resfusion's for ISTD with random weights, from a file as its training writes it."""
    place = tmp_path_factory.mktemp("resfusion")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = UNet(8, (1, 2), mask_channels=2).state_dict()
    torch.save({"state_dict": {f"denoising_module.{k}": v for k, v in state.items()}}, place / "istd.ckpt")
    return import_file(place / "istd.ckpt").weights


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two photographs, 24 x 32, and their masks in another folder: the left half of one, the right half of the other."""
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 32), np.uint8)
    mask[:, :16] = 255
    for n, half in enumerate((mask, mask[:, ::-1])):
        for folder, pixels in (("shadow", rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)), ("mask", half)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / folder / f"{n}.png")
    return tmp_path


def test_the_encoding_is_the_published_one() -> None:
    mask = np.array([[0, 254 / 255, 1.0]])
    assert encode_mask(mask, 2).tolist() == [[[[1, 1, -1]], [[-1, -1, 1]]]], (
        "outside first; inside is what is wholly white"
    )
    assert encode_mask(mask[..., None].repeat(3, 2), 3)[0, 2, 0].tolist() == pytest.approx([0, 254 / 255, 1])


def test_the_network_sees_the_mask(weights: Path, pictures: Path) -> None:
    model = shelf.load(weights)
    mask = encode_mask(np.arange(4 * 8).reshape(4, 8) % 3 == 0, 2)
    process = model.spec.process()
    x_t, y = torch.randn(2, 1, 3, 4, 8, generator=torch.Generator().manual_seed(0))
    seen = MaskedRestorer(model, np.zeros((4, 8)), "cpu").model
    seen = seen.__class__(**{**vars(seen), "mask": mask})
    t = process.steps
    found = seen.denoiser(process, 0.0)(x_t, y, t)
    told = torch.tensor([float(process.timestep[t])])
    said = model.predictor(x_t, y, told, mask)
    assert torch.equal(found, model.estimate(process, t, x_t, y, (mask,)))
    assert not torch.equal(said, model.predictor(x_t, y, told, -mask))


def test_python(weights: Path, pictures: Path) -> None:
    photo, mask = pictures / "shadow" / "0.png", pictures / "mask" / "0.png"
    out = unveil.load(weights, mask=mask).restore(photo)
    array = np.asarray(Image.open(mask))
    assert np.array_equal(out.image, unveil.load(weights, mask=array).restore(photo).image)
    assert np.array_equal(out.image, unveil.load(weights, mask=mask.parent).restore(photo).image)
    assert not np.array_equal(out.image, unveil.load(weights, mask=255 - array).restore(photo).image)
    assert out.protocol["mask"] == str(mask)
    again = {k: v for k, v in out.protocol.items() if k != "model"}
    assert np.array_equal(unveil.restore(photo, str(weights), **again).image, out.image)
    with pytest.raises(InputError, match="another mask"):
        unveil.restore(photo, str(weights), **{**again, "mask": pictures / "mask" / "1.png"})


def test_what_does_not_go_together_is_said(weights: Path, pictures: Path) -> None:
    photo, mask = pictures / "shadow" / "0.png", pictures / "mask" / "0.png"
    with pytest.raises(InputError, match=r"give a mask.*--mask FILE"):
        unveil.load(weights).restore(photo)
    with pytest.raises(InputError, match="mask is 5 x 4 pixels, the photograph 32 x 24"):
        unveil.load(weights, mask=np.zeros((4, 5))).restore(photo)
    with pytest.raises(InputError, match="leave tile out"):
        unveil.load(weights, mask=mask).restore(photo, tile=16)
    with pytest.raises(InputError, match="tiny takes no mask"):
        MaskedRestorer(tiny_model(), np.zeros((4, 5)), "cpu")
    with pytest.raises(InputError, match=r"holds no mask of that name \(0.png\)"):
        unveil.load(weights, mask=pictures).restore(photo)
    assert isinstance(unveil.load(weights), Restorer)


def test_command(weights: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pictures / "out"
    call = ["restore", str(pictures / "shadow"), "-n", str(weights), "-o", f"{out}/", "--device", "cpu"]
    assert cli.main([*call, "--mask", str(pictures / "mask")]) == 0
    direct = unveil.load(weights, mask=pictures / "mask" / "1.png").restore(pictures / "shadow" / "1.png")
    assert np.array_equal(np.asarray(Image.open(out / "1.png")), np.rint(direct.image * 255).astype(np.uint8))
    assert cli.main([*call, "--mask", str(pictures / "mask"), "--method", "dps"]) == 2
    assert "--mask is for published networks" in capsys.readouterr().err


def test_the_benchmark_shows_its_own_masks(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in (0, 1):
        for side, folder in (("A", "shadow"), ("B", "mask"), ("C", "shadow")):
            place = tmp_path / "data" / "ISTD_Dataset" / "test" / f"test_{side}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"90-{n + 1}.png").write_bytes((pictures / folder / f"{n}.png").read_bytes())
    call = ["bench", "--data", str(tmp_path / "data"), "--models", str(weights), "--baselines", "none"]
    assert cli.main([*call, "--metrics", "psnr", "--device", "cpu", "--json", "-o", str(tmp_path / "r.json")]) == 0
    with_mask = capsys.readouterr().out
    assert '"failed": {}' in with_mask
    (tmp_path / "data/ISTD_Dataset/test/test_B/90-1.png").unlink()
    assert cli.main([*call, "--metrics", "psnr", "--device", "cpu"]) == 3
    assert "is shown a mask, and the set has none for it" in capsys.readouterr().out
