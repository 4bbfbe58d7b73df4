from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import unveil
from unveil import photo
from unveil.degradation.primitives import linear_to_srgb, srgb_to_linear
from unveil.errors import ModelError
from unveil.models import describer, shelf
from unveil.models.spec import Spec
from unveil.models.treatment import NOTICED, treatment
from unveil.models.weights_file import read, read_guide, sha256_of, write
from unveil.networks.classifier import DegradationClassifier
from unveil.networks.clip import CLIP, VisionTower
from unveil.networks.daclip import DACLIP
from unveil.networks.daclip_words import UNIVERSAL
from unveil.testing import tiny_model

VISION = {"embed": 8, "size": 16, "patch": 8, "width": 8, "layers": 1, "heads": 1}
TEXT = {"context": 8, "vocabulary": 49408, "width": 8, "layers": 1, "heads": 1}


@pytest.fixture
def daclip(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = DACLIP(CLIP(VisionTower(**VISION), **TEXT))
    spec = Spec("d", {"kind": "daclip", "vision": VISION, "text": TEXT}, sampler="guide")
    write(tmp_path / "d.safetensors", spec, network, None, torch.float32)
    return tmp_path / "d.safetensors"


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = DegradationClassifier(("noise", "clean"), 8)
    spec = Spec("c", {"kind": "classifier", "kinds": ["noise", "clean"], "width": 8}, sampler="guide")
    write(tmp_path / "c.safetensors", spec, network, None)
    return tmp_path / "c.safetensors"


def photograph(size: tuple[int, int] = (40, 70)) -> np.ndarray:
    return np.random.default_rng(0).random((*size, 3), dtype=np.float32)


def test_daclip_speaks_where_it_is_given(daclip: Path) -> None:
    said = describer.load(daclip).describe(photograph())
    assert set(said.probabilities) == set(UNIVERSAL)
    assert sum(said.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert list(said.probabilities.values()) == sorted(said.probabilities.values(), reverse=True)
    assert said.likeliest == next(iter(said.probabilities))
    assert said.exclusive
    assert said.speaker == f"DA-CLIP from d.safetensors (sha256 {sha256_of(daclip)[:12]})"


def test_a_classifier_reads_back_as_it_was(classifier: Path) -> None:
    network, _, digest = read_guide(classifier)
    assert digest == sha256_of(classifier)
    assert isinstance(network, DegradationClassifier)
    assert network.kinds == ("noise", "clean")
    assert not any(p.requires_grad for p in network.parameters())


def test_what_describes_does_not_restore_and_the_other_way_round(
    classifier: Path, daclip: Path, tmp_path: Path
) -> None:
    for path in (classifier, daclip):
        with pytest.raises(ModelError, match="describes photographs and restores none"):
            read(path)
    made = tiny_model()
    write(tmp_path / "r.safetensors", made.spec, made.predictor, made.head)
    with pytest.raises(ModelError, match="restores photographs and describes none"):
        describer.load(tmp_path / "r.safetensors")
    with pytest.raises(ModelError, match="no such model file"):
        describer.load(tmp_path / "none.safetensors")


def test_the_classifier_that_ships_is_small_whole_and_no_restoring_model() -> None:
    path, digest = shelf.place(describer.SMALL)
    entry = shelf.entries()[describer.SMALL]
    assert sha256_of(path) == digest
    assert path.stat().st_size == entry["bytes"] < 1_000_000
    assert describer.SMALL not in shelf.names()
    with pytest.raises(ModelError, match="restores none; it is used by: unveil describe PHOTO"):
        shelf.load(describer.SMALL)
    for other, told in (("general", "restores photographs by itself"), ("small-pixel", "is a prior")):
        with pytest.raises(ModelError, match=f"{other} {told}"):
            describer.load(other)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 64)])
def test_every_size_is_described(size: tuple[int, int]) -> None:
    said = describer.load().describe(photograph(size))
    assert all(0 <= p <= 1 for p in said.probabilities.values())
    assert not said.exclusive
    assert "small classifier that ships" in said.speaker


def test_what_is_plain_is_named() -> None:
    """Strong noise on a smooth picture, a black one, and the smooth picture itself."""
    down, right = np.mgrid[0:256, 0:256].astype(np.float32) / 256
    smooth = np.stack([down, right, 1 - down], -1) * 0.7 + 0.15
    smooth[60:160, 90:200] = (0.8, 0.3, 0.2)
    noisy = np.clip(smooth + np.random.default_rng(0).normal(0, 0.15, smooth.shape), 0, 1).astype(np.float32)
    speaker = describer.load()
    assert speaker.describe(noisy).probabilities["noise"] > 0.8
    assert speaker.describe(smooth).probabilities["noise"] < 0.3
    dark = (smooth**2.2 / 25) ** (1 / 2.2)
    assert speaker.describe(dark.astype(np.float32)).probabilities["lowlight"] > NOTICED["lowlight"]


def test_what_ships_finds_a_veil_and_the_dark_and_not_what_has_neither() -> None:
    """A photograph that ships, veiled by Koschmieder's law, and in an eighth of its light without any noise; and as it is."""
    pixels = photo.read(Path(unveil.__file__).parent / "examples" / "chelsea.jpg").pixels
    far = np.linspace(1.0, 0.3, pixels.shape[0], dtype=np.float32)[:, None, None]
    t = np.exp(-1.2 * far)
    veiled = pixels * t + 0.85 * (1 - t)
    linear = torch.from_numpy(pixels.copy())
    dark = linear_to_srgb(srgb_to_linear(linear) / 12).numpy()
    said = describer.shipped()
    plain, hazy, dim = (said.describe(x.astype(np.float32)).probabilities for x in (pixels, veiled, dark))
    assert hazy["haze"] > NOTICED["haze"] > plain["haze"]
    assert dim["lowlight"] > NOTICED["lowlight"] > plain["lowlight"]


def test_a_lens_cap_needs_nothing() -> None:
    counted = np.random.default_rng(0).poisson(1.0, (200, 300, 3)).astype(np.float32) / 255
    for black in (np.zeros_like(counted), counted):
        said = describer.shipped().describe(black)
        assert said.likeliest == "clean"
        assert treatment(said.probabilities).nothing


def test_bars_are_not_described() -> None:
    pixels = np.random.default_rng(0).random((48, 80, 3)).astype(np.float32)
    barred = np.pad(pixels, ((12, 12), (0, 0), (0, 0)))
    assert describer.shipped().describe(barred) == describer.shipped().describe(pixels)
