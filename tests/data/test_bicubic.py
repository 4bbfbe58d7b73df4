"""MATLAB's bicubic."""

from __future__ import annotations

import numpy as np
import pytest

from unveil.data.files import bicubic, low_resolution, weights
from unveil.errors import InputError
from unveil.evaluation.resize import imresize


def noise(seed: int, height: int = 20, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(5, 6), (10, 12), (40, 48), (7, 31), (33, 9), (20, 24)])
def test_agrees_with_the_rule_of_the_evaluation_room(size: tuple[int, int]) -> None:
    pixels = noise(1)
    wanted = imresize(pixels / 255.0, size=size).clip(0, 1) * 255
    assert np.abs(bicubic(pixels, size) - wanted).max() <= 0.5 + 1e-6  # nothing but the rounding to whole numbers


@pytest.mark.parametrize(("length", "new_length"), [(7, 3), (8, 2), (5, 11), (1, 4), (4, 1)])
def test_weights_sum_to_one_and_mirror(length: int, new_length: int) -> None:
    matrix = weights(length, new_length)
    assert matrix.shape == (new_length, length)
    assert matrix.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert matrix == pytest.approx(matrix[::-1, ::-1], abs=1e-12)


def test_a_ramp_is_kept_inside() -> None:
    ramp = np.repeat(np.arange(0, 64, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(8, axis=0)
    out = bicubic(ramp, (8, 32))[4, 4:-4, 0].astype(int)
    assert out.tolist() == [2 * i + 1 for i in range(4, 28)]  # the middle of each pair is a half, rounded up


def test_super_resolution_pairs_have_one_size_and_lost_detail() -> None:
    degraded, clean = low_resolution(noise(2, 23, 30), 4)
    assert degraded.shape == clean.shape == (20, 28, 3)
    assert np.array_equal(clean, noise(2, 23, 30)[:20, :28])
    assert degraded.std() < 0.5 * clean.std()
    for pixels, scale in ((noise(0), 1), (noise(0, 3, 3), 4)):
        with pytest.raises(InputError):
            low_resolution(pixels, scale)
