from __future__ import annotations

from math import isnan
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from unveil.errors import InputError, ModelError
from unveil.evaluation.arrays import correlate_same, gaussian_kernel
from unveil.evaluation.metrics.naturalness import (
    NaturalnessModel,
    fit,
    fit_asymmetric,
    load,
    naturalness,
    normalise,
    patch_features,
    shipped,
)


def asymmetric(rng: np.random.Generator, alpha: float, left: float, right: float, size: int) -> np.ndarray:
    """Samples of the asymmetric generalised Gaussian: |x| / scale is a gamma variate to the power 1/alpha, sides by their scale."""
    magnitude = rng.gamma(1 / alpha, size=size) ** (1 / alpha)
    return np.where(rng.random(size) < left / (left + right), -left * magnitude, right * magnitude)


@pytest.mark.parametrize(
    ("alpha", "left", "right"), [(0.7, 1.0, 1.0), (1.0, 0.5, 1.5), (2.0, 2.0, 1.0), (4.0, 0.1, 0.1)]
)
def test_the_fit_finds_shape_and_scales_again(alpha: float, left: float, right: float) -> None:
    values = asymmetric(np.random.default_rng(0), alpha, left, right, 400_000)
    found = np.array(fit_asymmetric(values[None])).ravel()
    assert found == pytest.approx([alpha, left, right], rel=0.03)


def test_the_fit_of_a_row_without_spread_is_undefined() -> None:
    assert np.isnan(fit_asymmetric(np.zeros((1, 50)))).all()


def test_normalised_noise_has_unit_spread_and_a_flat_field_none() -> None:
    noise = np.random.default_rng(1).normal(128, 20, (120, 120))
    normalised, deviation = normalise(noise)
    assert abs(normalised.mean()) < 0.02
    assert 0.8 < normalised.std() < 1.1
    assert 15 < deviation.mean() < 20
    assert not normalise(np.full((20, 20), 77.0))[0].round(9).any()


def test_features_say_what_they_are_of() -> None:
    """On noise: the shape of a Gaussian (flatter, being divided by its own spread) and the means of neighbours' products."""
    noise = np.clip(np.random.default_rng(2).normal(0.5, 0.1, (192, 192)), 0, 1)
    features, _ = patch_features(noise)
    assert features.shape == (4, 36)
    assert 2 < features[:, 0].mean() < 3.5
    field, _ = normalise(noise * 255)
    beside, below = (field[:, 1:] * field[:, :-1]).mean(), (field[1:] * field[:-1]).mean()
    falling, rising = (field[1:, 1:] * field[:-1, :-1]).mean(), (field[1:, :-1] * field[:-1, 1:]).mean()
    assert features.mean(axis=0)[[3, 7, 11, 15]] == pytest.approx([beside, below, falling, rising], abs=0.03)


def test_each_neighbour_is_looked_at_in_its_own_direction() -> None:
    """Stripes that run down to the right: neighbours along them agree, all others do not."""
    rows, columns = np.mgrid[:192, :192]
    stripes = np.random.default_rng(5).random(400)[columns - rows + 192]
    features = patch_features(0.1 + 0.8 * stripes)[0].mean(axis=0)
    assert features[11] > 0.3
    assert max(features[3], features[7], features[15]) < 0.1


def test_damage_raises_the_score() -> None:
    image = data.astronaut()
    rng = np.random.default_rng(3)
    clean = naturalness(image)
    assert clean < 4.5
    last = clean
    for sigma in (10, 25, 50):
        score = naturalness(np.clip(np.rint(image + rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8))
        assert score > last + 1
        last = score
    last = clean
    for sigma in (1.0, 2.0):
        score = naturalness(np.clip(correlate_same(image / 255, gaussian_kernel(15, sigma)), 0, 1))
        assert score > last + 1
        last = score


@pytest.mark.shared
def test_the_shipped_model_knows_clean_photographs_it_was_not_fitted_on(shared: Path) -> None:
    from unveil.evaluation.reading import read_image

    photos = sorted((shared / "data/test/Kodak24").glob("*.png"))[:6]
    scores = [naturalness(read_image(path).pixels) for path in photos]
    assert 2.3 < np.mean(scores) < 4


def test_flat_images_have_no_score_and_small_ones_are_refused(photo: np.ndarray) -> None:
    assert isnan(naturalness(np.full((96, 96, 3), 0.5)))
    with pytest.raises(InputError, match="at least 96x96"):
        naturalness(photo[:95])


def test_a_partly_flat_image_is_scored_on_the_rest(photo: np.ndarray) -> None:
    image = photo[:96, :192].copy()
    image[:, 96:] = 40
    assert np.isfinite(naturalness(image))


def test_one_patch_and_luma_are_enough(photo: np.ndarray) -> None:
    assert np.isfinite(naturalness(photo[:96, :96]))
    grey = np.repeat(photo[..., :1], 3, axis=2)
    assert naturalness(grey) == pytest.approx(naturalness(photo[..., 0]), rel=1e-9)


def test_fit_save_load_and_score_zero_at_its_own_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    images = [rng.random((300, 300)) for _ in range(8)]
    model = fit(images, source="noise")
    model.save(tmp_path / "model.json")
    again = load(tmp_path / "model.json")
    assert again.source == "noise"
    assert again.score(images[0]) == pytest.approx(model.score(images[0]), rel=1e-4)
    own, _ = patch_features(images[0])
    assert NaturalnessModel(own.mean(axis=0), model.covariance, "").score(images[0]) == pytest.approx(0, abs=1e-6)
    assert model.score(images[0]) < shipped().score(images[0])


def test_too_few_patches_are_refused(photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="sharp patches found"):
        fit([photo])
    with pytest.raises(InputError, match="only 0"):
        fit([])


@pytest.mark.parametrize("text", ["{}", "[1, 2", '{"format": "x", "mean": [1], "covariance": [[1]], "source": ""}'])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"other\.json holds no naturalness model"):
        load(path)


def test_the_shipped_covariance_is_one() -> None:
    model = shipped()
    assert np.array_equal(model.covariance, model.covariance.T)
    assert np.linalg.eigvalsh(model.covariance).min() > 0
    assert "BSDS500" in model.source
