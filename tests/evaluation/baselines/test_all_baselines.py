from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.errors import InputError
from unveil.evaluation.baselines import BASELINES, get_baseline

NAMES = [name for name in BASELINES if name != "bm3d"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 64), (33, 18)])
def test_any_image_of_any_size_gives_an_image_of_that_size(name: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for image in (np.zeros(size), np.ones(size), np.full(size, 0.3), rng.random(size)):
        made = BASELINES[name](np.repeat(image[..., None], 3, axis=2))
        assert made.shape == (*size, 3)
        assert np.isfinite(made).all()
        assert made.min() >= 0
        assert made.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_same_image_gives_the_same_result_and_is_not_changed(name: str, noisy: np.ndarray) -> None:
    image = noisy[:48, :48] / 255
    before = image.copy()
    first = BASELINES[name](image)
    assert np.array_equal(first, BASELINES[name](image))
    assert np.array_equal(image, before)
    if name != "identity":
        assert not np.array_equal(first, image), "it does something"


def test_grey_bytes_and_tensors_are_taken(noisy: np.ndarray) -> None:
    stretch = get_baseline("stretch")
    assert np.array_equal(stretch(noisy), stretch(torch.from_numpy(noisy.copy())))
    assert stretch(noisy[..., 0]).shape == noisy.shape


def test_unknown_baselines_are_refused() -> None:
    with pytest.raises(InputError, match="known are identity, stretch"):
        get_baseline("magic")
