from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.networks.predictor import pad_to_multiple
from unveil.util.tensors import mirror


@pytest.mark.parametrize(("length", "total"), [(1, 5), (2, 7), (3, 16), (5, 5), (9, 16), (40, 48)])
def test_mirror_is_numpys_reflection(length: int, total: int) -> None:
    expected = np.pad(np.arange(length), (0, total - length), mode="reflect")
    np.testing.assert_array_equal(mirror(length, 0, total - length).numpy(), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (3, 2), (13, 21)])
def test_both_sides_are_reflected_to_the_next_multiple(size: tuple[int, int], reflected_image) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pad_to_multiple(x, 8), reflected_image(x, 8))


def test_zero_padding_keeps_the_image_and_adds_zeros() -> None:
    x = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    padded = pad_to_multiple(x, 4, mode="zero")
    assert padded.shape == (1, 3, 8, 8)
    assert torch.equal(padded[..., :5, :7], x)
    assert not padded[..., 5:, :].any()
    assert not padded[..., :, 7:].any()


@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_sizes_that_fit_are_not_copied(mode: str) -> None:
    x = torch.zeros(1, 3, 16, 8)
    assert pad_to_multiple(x, 8, mode) is x
