"""The estimate of noise, on noise of a known level: white, shared by neighbours, compressed, growing with brightness."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from unveil.photo.noise_level import NoiseLevel, noise_level, white_noise


def scene(size: int = 384) -> np.ndarray:
    """Soft shading, edges and a patch of texture, without noise: (size, size, 3) in [0.15, 0.85]."""
    rng = np.random.default_rng(3)
    image = ndimage.gaussian_filter(rng.random((size, size, 3)), (40, 40, 0), mode="wrap")
    image = (image - image.min()) / (image.max() - image.min())
    image[: size // 4, : size // 4] += 0.2 * rng.random((size // 4, size // 4, 3))
    image[size // 2 :, size // 3 :] *= 0.7
    return 0.15 + 0.7 * image / image.max()


def white(sigma: float) -> np.ndarray:
    return np.random.default_rng(7).normal(0, sigma / 255, (384, 384, 3))


def common(sigma: float, width: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(white(1), (width, width, 0))
    return noise / noise.std() * sigma / 255


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.rint(image.clip(0, 1) * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), dtype=float) / 255


@pytest.mark.parametrize("sigma", [3, 10, 30])
def test_white_noise_is_known_as_white(sigma: float) -> None:
    found = noise_level(scene() + white(sigma))
    assert not found.correlated
    assert found.sigma * 255 == pytest.approx(sigma, rel=0.06)


@pytest.mark.parametrize(("width", "low"), [(0.7, 0.75), (1.0, 0.35), (1.5, 0.15)])
def test_noise_that_neighbours_share(width: float, low: float) -> None:
    """The finest scale alone reads the share `low` of it at most; blocks of 12 pixels are good for 30 %, too little of wide noise."""
    image = scene() + common(10, width)
    assert white_noise(image) * 255 < low * 10
    found = noise_level(image)
    assert found.correlated
    assert found.sigma * 255 == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize("quality", [60, 40])
def test_noise_that_was_compressed(quality: int) -> None:
    clean = scene()
    image = compressed(clean + white(20), quality)
    true = float(np.sqrt(((image - compressed(clean, quality)) ** 2).mean())) * 255
    assert white_noise(image) * 255 < 0.7 * true
    assert noise_level(image).sigma * 255 == pytest.approx(true, rel=0.2)


@pytest.mark.parametrize("finest", [0.8, 1.0])
def test_white_noise_on_a_picture_that_is_textured_everywhere(finest: float) -> None:
    """Foliage has no flat block: what its blocks hold beside the noise is not taken for noise that neighbours share."""
    foliage = np.random.default_rng(11).normal(0, 1, (384, 384, 3))
    foliage = sum(
        ndimage.gaussian_filter(foliage, (width, width, 0)) * width**1.5 for width in (finest, 2 * finest, 4 * finest)
    )
    image = 0.5 + foliage / foliage.std() * 25 / 255 + white(10)
    found = noise_level(image)
    assert not found.correlated
    assert found.sigma * 255 == pytest.approx(10, rel=0.1)


def test_noise_that_grows_with_brightness() -> None:
    """The curve follows sqrt(a + b x) within a fifth at every brightness."""
    clean = np.tile(np.linspace(0.1, 0.9, 384)[:, None, None], (1, 384, 3))
    deviation = np.sqrt(1e-5 + 4e-3 * clean)
    found = noise_level(clean + deviation * np.random.default_rng(1).standard_normal(clean.shape))
    assert (np.diff(found.brightness) > 0).all()
    assert found.curve == pytest.approx(np.sqrt(1e-5 + 4e-3 * found.brightness), rel=0.2)
    assert found.curve[-1] > 2 * found.curve[0]


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 40, 3), (12, 12, 1), (13, 200, 3)])
def test_every_size_has_an_answer(shape: tuple[int, ...]) -> None:
    found = noise_level(np.random.default_rng(0).random(shape))
    assert isinstance(found, NoiseLevel)
    assert np.isfinite(found.sigma)
    flat = noise_level(np.full(shape, 0.25))
    assert flat.sigma == 0


@pytest.mark.shared
def test_camera_noise_is_no_longer_missed(shared: Path) -> None:
    """Twenty JPEGs of PolyU, 4.4 levels on the mean: the finest scale reads 0.6, the whole blocks 2.6."""
    folder = shared / "data" / "test" / "PolyU_100"
    true, fine, found = [], [], []
    for path in sorted((folder / "noisy").iterdir())[::10]:
        clean = next((folder / "clean").glob(path.name.replace("_real", "_mean").rsplit(".", 1)[0] + "*"))
        noisy, target = (np.asarray(Image.open(p).convert("RGB"), dtype=float)[:256, :256] / 255 for p in (path, clean))
        true.append(((noisy - target) ** 2).mean() ** 0.5)
        fine.append(white_noise(noisy))
        level = noise_level(noisy)
        assert level.correlated
        found.append(level.sigma)
    assert np.mean(fine) < 0.25 * np.mean(true)
    assert np.mean(found) > 0.45 * np.mean(true)
