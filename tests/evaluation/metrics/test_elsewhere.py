from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil import cli
from unveil.errors import InputError
from unveil.evaluation import evaluate_pair
from unveil.evaluation.metrics import elsewhere

PHOTO = Path(__file__).resolve().parents[3] / "src/unveil/examples/coffee.jpg"


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    with Image.open(PHOTO) as image:
        clean = np.asarray(image.convert("RGB").crop((100, 100, 300, 290))) / 255
    noisy = clean + np.random.default_rng(0).normal(0, 0.06, clean.shape)
    return np.rint(noisy.clip(0, 1) * 255) / 255, clean


@pytest.mark.parametrize("name", elsewhere.LIBRARIES)
def test_psnr_is_the_same_everywhere(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    library = elsewhere.LIBRARIES[name]
    if importlib.util.find_spec(library.module) is None:
        with pytest.raises(InputError, match=f"pip install {library.package}"):
            library.version()
        return
    values, _ = evaluate_pair(*pair, metrics=elsewhere.beside(["psnr", "ssim"], [name]))
    assert values[f"psnr@{name}"] == pytest.approx(values["psnr"], abs=1e-4)


def test_default_ssim_of_scikit_image_has_another_window(pair: tuple[np.ndarray, np.ndarray]) -> None:
    pytest.importorskip("skimage")
    ours, _ = evaluate_pair(*pair, metrics=["ssim", "ssim@scikit-image"])
    other, _ = evaluate_pair(*pair, protocol="lol256", metrics=["ssim"])
    same_window, _ = evaluate_pair(*pair, metrics=["ciede2000", "ciede2000@scikit-image"])
    assert ours["ssim@scikit-image"] > ours["ssim"] + 0.01
    assert same_window["ciede2000@scikit-image"] == pytest.approx(same_window["ciede2000"], rel=1e-3)
    assert other["ssim"] != ours["ssim"]


def test_what_is_asked_for_must_be_there() -> None:
    with pytest.raises(InputError, match="unknown library 'matlab'; known are scikit-image, torchmetrics"):
        elsewhere.beside(["psnr"], ["matlab"])
    with pytest.raises(InputError, match="torchmetrics has none of ciede2000; it has psnr"):
        elsewhere.beside(["ciede2000"], ["torchmetrics"])


def test_the_command_prints_the_other_number_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(tmp_path / folder / "1.png")
    folders = ["--pred", str(tmp_path / "a"), "--target", str(tmp_path / "b")]
    assert cli.main(["evaluate", *folders, "--as", "scikit-image", "--metrics", "psnr,ssim"]) == 0
    out, err = capsys.readouterr()
    assert "| image | psnr | psnr@scikit-image | ssim | ssim@scikit-image | notes |" in out
    assert err.startswith("unveil: scikit-image is ")
    assert cli.main(["evaluate", *folders, "--as", "matlab"]) == 2
