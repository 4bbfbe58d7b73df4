from __future__ import annotations

import numpy as np
import torch

from unveil.util.tensors import batch_of, pixels_of


def test_there_and_back_is_the_same_in_memory_of_its_own() -> None:
    pixels = np.random.default_rng(0).random((3, 5, 3), np.float32)
    batch = batch_of(pixels)
    assert batch.shape == (1, 3, 3, 5)
    assert batch.is_contiguous()
    assert float(batch[0, 2, 1, 4]) == pixels[1, 4, 2]
    back = pixels_of(batch)
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, pixels)
    batch.zero_()
    assert pixels.any()


def test_a_single_pixel_is_copied_too_and_a_gradient_is_no_hindrance() -> None:
    pixels = np.ones((1, 1, 3), np.float32)
    batch_of(pixels).zero_()
    assert pixels.all()
    assert pixels_of(torch.ones(2, 3, 4, 6, requires_grad=True)).shape == (4, 6, 3)
