"""Which promises hold for any number of threads, and which name it; and seeds that would be folded onto others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from unveil.errors import InputError
from unveil.loading import load
from unveil.options import MOST_SEED
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_model

X = np.random.default_rng(0).random((72, 88, 3), dtype=np.float32)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_trained_models_do_not_depend_on_the_number_of_threads() -> None:
    seen = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        seen.append(Restorer(tiny_model(), "cpu").restore(X, steps=3).image)
    assert all(np.array_equal(seen[0], other) for other in seen[1:])


@pytest.mark.usefixtures("threads")
def test_zero_shot_methods_say_the_number_and_keep_it() -> None:
    restorer = load(device="cpu", method="diffpir", operator="blur:sigma=1")
    for number in (1, 2):
        torch.set_num_threads(number)
        first, again = (restorer.restore(X, steps=2) for _ in range(2))
        assert first.protocol["threads"] == number
        assert np.array_equal(first.image, again.image)


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1, 2**64, 0.5, True])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(InputError, match="seed must be a whole number"):
        Options(seed=seed)
    Options(seed=MOST_SEED)
