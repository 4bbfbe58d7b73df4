from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from unveil.errors import InputError
from unveil.evaluation.metrics.classical import ciede2000, delta_e2000, mae_lab

# Sharma, Wu and Dalal 2005, table 1: two colours and their difference, chosen where implementations go wrong.
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
]


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_ciede2000_gives_the_published_test_values(first: tuple, second: tuple, expected: float) -> None:
    assert float(delta_e2000(np.array(first, float), np.array(second, float))) == pytest.approx(expected, abs=5e-5)
    assert float(delta_e2000(np.array(second, float), np.array(first, float))) == pytest.approx(expected, abs=5e-5)


def test_ciede2000_equals_scikit_image_over_all_colours() -> None:
    rng = np.random.default_rng(4)
    first = rng.uniform([0, -128, -128], [100, 128, 128], (5000, 3))
    for second in (rng.uniform([0, -128, -128], [100, 128, 128], (5000, 3)), first + rng.normal(0, 1, first.shape)):
        assert np.abs(delta_e2000(first, second) - deltaE_ciede2000(first, second)).max() < 1e-10


def test_mean_errors_equal_scikit_images_lab(photo: np.ndarray, noisy: np.ndarray) -> None:
    left, right = rgb2lab(noisy), rgb2lab(photo)
    assert ciede2000(noisy, photo) == pytest.approx(deltaE_ciede2000(left, right).mean(), rel=1e-3)
    assert mae_lab(noisy, photo, white="D65") == pytest.approx(np.abs(left - right).sum(axis=2).mean(), rel=1e-3)


def test_mae_sums_the_channels_and_depends_on_the_white() -> None:
    red, green = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    red[..., 0], green[..., 1] = 1, 1
    expected = 87.82 - 54.29 + 79.28 + 80.81 + 80.99 - 69.89
    assert mae_lab(red, green, white="D50") == pytest.approx(expected, abs=0.03)
    assert abs(mae_lab(red, green, white="D65") - mae_lab(red, green, white="D50")) > 5
    assert mae_lab(red, red) == ciede2000(red, red) == 0


def test_regions_are_means_over_their_own_pixels(photo: np.ndarray, noisy: np.ndarray) -> None:
    mask = np.zeros(photo.shape[:2], dtype=bool)
    mask[30:90, 20:200] = True
    share = mask.mean()
    for metric in (mae_lab, ciede2000):
        parts = share * metric(noisy, photo, mask=mask) + (1 - share) * metric(noisy, photo, mask=~mask)
        assert parts == pytest.approx(metric(noisy, photo), rel=1e-12)


def test_an_empty_region_is_refused(photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="mask is empty"):
        mae_lab(photo, photo, mask=np.zeros(photo.shape[:2]))
