"""The ARNIQA judge: its network's size and layout, its scale, and what it says about files that are not its own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import InputError, ModelError
from unveil.zeroshot.iqa import REGRESSORS, arniqa, encoder


def trunk(seed: int = 0) -> nn.Sequential:
    """A ResNet with one block a stage and four channels, its running statistics drawn too."""
    network = encoder((1, 1, 1, 1), 4)
    draw = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.normal_(std=0.2, generator=draw)
            if name.endswith(("var", "bn1.weight", "bn2.weight")):
                value.abs_().add_(0.5)
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as they are published, but small: encoder under 'model.', an unused projector, a regressor."""
    weights = {f"model.{k}": v for k, v in trunk().state_dict().items()}
    torch.save(weights | {"projector.0.weight": torch.zeros(2, 2)}, tmp_path / "ARNIQA.pth")
    regressor = {"weights": torch.linspace(-1, 1, 256)[None], "biases": torch.tensor([[2.0]])}
    save_file(regressor, tmp_path / "regressor_kadid10k.safetensors")
    save_file(regressor, tmp_path / "regressor_csiq.safetensors")
    return tmp_path


def test_the_published_encoder_has_the_published_size() -> None:
    with torch.device("meta"):
        network = encoder()
    assert sum(p.numel() for p in network.parameters()) == 23_508_032
    keys = network.state_dict().keys()
    assert {"0.weight", "1.running_mean", "4.0.downsample.0.weight", "7.2.bn3.bias"} <= keys


def test_scores_are_the_regression_on_both_scales(folder: Path) -> None:
    image = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(1))
    network = trunk().eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    half = F.interpolate(image, (32, 40), mode="bilinear", antialias=True)
    with torch.no_grad():
        full_f, half_f = (F.normalize(network((v - mean) / std).flatten()[None])[0] for v in (image, half))
    raw = float(torch.cat([full_f, half_f]) @ torch.linspace(-1, 1, 256)) + 2
    assert arniqa(folder, "kadid10k", trunk())(image) == pytest.approx((raw - 1) / 4, abs=1e-5)
    # csiq counts damage on 0..1: turned round.
    assert arniqa(folder, "csiq", trunk())(image) == pytest.approx(1 - raw, abs=1e-5)


def test_the_half_scale_of_odd_sides_is_the_references(folder: Path) -> None:
    """torchmetrics' ARNIQA reduces to h // 2 and w // 2, so that the reduced picture spans the whole one, as does the authors'."""
    image = torch.rand(1, 3, 65, 79, generator=torch.Generator().manual_seed(1))
    seen: list[Tensor] = []
    network = trunk()
    network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    arniqa(folder, "kadid10k", network)(image)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    half = F.interpolate(image, size=(32, 39), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen[1], (half - mean) / std)


def test_a_picture_of_one_pixel_has_a_score(folder: Path) -> None:
    assert math.isfinite(arniqa(folder, "kadid10k", trunk())(torch.full((1, 3, 1, 1), 0.5)))


def test_the_encoder_may_be_safetensors(folder: Path) -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    before = arniqa(folder, "kadid10k", trunk(1))(image)
    save_file(torch.load(folder / "ARNIQA.pth", weights_only=True), folder / "ARNIQA.safetensors")
    (folder / "ARNIQA.pth").unlink()
    assert arniqa(folder, "kadid10k", trunk(1))(image) == before


def test_what_is_missing_or_wrong_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown ARNIQA regressor 'ava'; known are live, csiq"):
        arniqa(folder, "ava")
    with pytest.raises(ModelError, match=r"holds neither ARNIQA\.safetensors nor ARNIQA\.pth"):
        arniqa(tmp_path / "empty", "kadid10k")
    with pytest.raises(ModelError, match=r"holds no regressor_live\.safetensors; see ARNIQA's releases"):
        arniqa(folder, "live", trunk())
    # The published regressor is a program: the message says how to convert it, and nothing of it is run.
    (folder / "regressor_live.pth").write_bytes(b"a program")
    with pytest.raises(
        ModelError, match=r"convert it once: python -c .*regressor_live\.pth.*regressor_live\.safetensors"
    ):
        arniqa(folder, "live", trunk())
    with pytest.raises(ModelError, match="not the encoder of ARNIQA"):
        arniqa(folder, "kadid10k", encoder((1, 1, 1, 1), 8))
    save_file({"weight": torch.zeros(3)}, folder / "regressor_live.safetensors")
    with pytest.raises(ModelError, match="not a regressor of ARNIQA"):
        arniqa(folder, "live", trunk())
    (folder / "ARNIQA.pth").write_bytes(b"half a file")
    with pytest.raises(ModelError, match=r"ARNIQA\.pth: damaged"):
        arniqa(folder, "kadid10k", trunk())


def test_every_published_scale_runs_upwards() -> None:
    assert len(REGRESSORS) == 8
    assert all(scale.low < scale.high for scale in REGRESSORS.values())
    assert [name for name, scale in REGRESSORS.items() if scale.damage] == ["live", "csiq"]
