from __future__ import annotations

import numpy as np
import pytest

from unveil.evaluation.arrays import rgb_to_lab
from unveil.evaluation.baselines import clahe, equalise


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    i = np.arange(32 * 48)
    return ((i * i // 97 + 3 * i) % 120 + 40).reshape(32, 48)


# Every 7th row and 9th column of what cv2.createCLAHE(clip, (tiles, tiles)).apply gives in OpenCV 5.0.0, and the sum of all.
OPENCV = [
    (2, 2.0, [[16, 70, 128, 189, 18, 82], [37, 215, 160, 107, 58, 249], [154, 218, 51, 120, 192, 34]], 199898),
    (4, 3.0, [[19, 70, 130, 171, 19, 90], [39, 204, 155, 98, 55, 232], [142, 204, 50, 113, 178, 31]], 187088),
    (8, 2.0, [[21, 53, 149, 202, 16, 149], [56, 226, 155, 88, 60, 247], [181, 212, 48, 128, 202, 32]], 206128),
]


@pytest.mark.parametrize(("tiles", "clip", "expected", "total"), OPENCV)
def test_equalisation_equals_opencv_to_the_rounding(
    levels: np.ndarray, tiles: int, clip: float, expected: list, total: int
) -> None:
    made = equalise(levels, clip, tiles)
    assert np.abs(made[:15:7, ::9] - expected).max() <= 1
    assert abs(made.sum() - total) < 0.02 * made.size


def test_sides_that_the_tiles_do_not_divide(levels: np.ndarray) -> None:
    made = equalise(levels[:29, :43], 2.0, 8)
    assert made.shape == (29, 43)
    assert made.min() >= 0
    assert made.max() <= 255


def test_contrast_of_lightness_grows_and_colour_stays(photo: np.ndarray) -> None:
    dull = 0.4 + photo / 255 * 0.2
    before, after = rgb_to_lab(dull), rgb_to_lab(clahe(dull))
    assert after[..., 0].std() > 1.5 * before[..., 0].std()
    inside = np.abs(after[..., 1:] - before[..., 1:]).max(axis=2) < 0.5  # the rest left the gamut
    assert inside.mean() > 0.95
