from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, as_mask, as_pair, crop_border, round_to

GREY = np.linspace(0, 1, 20).reshape(4, 5)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.uint8([[0, 51, 255]]), [[0, 0.2, 1]]),
        (np.uint16([[0, 13107, 65535]]), [[0, 0.2, 1]]),
        (np.array([[True, False]]), [[1, 0]]),
        (np.float32([[0, 0.5, 1]]), [[0, 0.5, 1]]),
        (torch.tensor([[0.0, 0.25, 1.0]], dtype=torch.bfloat16), [[0, 0.25, 1]]),
        (torch.tensor([[0, 51]], dtype=torch.uint8), [[0, 0.2]]),
        (np.float64([[-4e-7, 1 + 4e-7]]), [[0, 1]]),
    ],
    ids=["uint8", "uint16", "bool", "float32", "bfloat16", "uint8 tensor", "rounding of a network"],
)
def test_everything_becomes_float64_on_the_unit_interval(image: object, expected: list) -> None:
    made = as_image(image)
    assert made.dtype == np.float64
    assert np.array_equal(made, np.array(expected))


def test_a_tensor_that_asks_for_gradients_is_taken() -> None:
    assert as_image(torch.full((2, 2, 3), 0.5, requires_grad=True)).shape == (2, 2, 3)


def test_a_named_range_is_mapped_to_the_unit_interval() -> None:
    assert np.allclose(as_image(GREY * 2 - 1, data_range=(-1, 1)), GREY, atol=1e-15)


@pytest.mark.parametrize(
    ("image", "data_range", "says"),
    [
        (GREY * 255, None, r"runs from 0 to 255, outside \[0, 1\].*data_range"),
        (GREY - 0.5, None, r"runs from -0.5 to 0.5"),
        (GREY * 3, (0.0, 2.0), r"outside \[0, 2\]"),
        (GREY, (1.0, 1.0), "is empty"),
        (np.where(GREY > 0.9, np.nan, GREY), None, "2 NaN or infinite values out of 20"),
        (np.where(GREY > 0.9, np.inf, GREY), None, "NaN or infinite"),
        (np.zeros((3, 8, 8)), None, r"channels last: x.permute\(1, 2, 0\)"),
        (np.zeros((8, 8, 4)), None, "expected"),
        (np.zeros((2, 8, 8, 3)), None, "expected"),
        (np.zeros((0, 8, 3)), None, "no pixels"),
        (np.zeros((8, 8), dtype=np.int32), None, "is int32"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(
    image: np.ndarray, data_range: tuple[float, float] | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        as_image(image, name="it", data_range=data_range)


def test_sizes_that_differ_are_an_error_not_a_resize() -> None:
    with pytest.raises(InputError, match=r"prediction is 5x4, grey and target is 4x4.*nothing is resized"):
        as_pair(GREY, GREY[:, :4])


def test_mask_counts_what_is_not_zero_and_must_fit() -> None:
    assert as_mask(np.uint8([[0, 1, 255]]), (1, 3)).tolist() == [[False, True, True]]
    with pytest.raises(InputError, match="mask is empty"):
        as_mask(np.zeros((1, 3)), (1, 3))
    with pytest.raises(InputError, match="mask is 2x1"):
        as_mask(np.ones((1, 2)), (1, 3))


def test_crop_border() -> None:
    image = np.arange(30).reshape(5, 6)
    assert crop_border(image, 0) is image
    assert crop_border(image, 2).tolist() == [[14, 15]]
    with pytest.raises(InputError, match="leaves nothing"):
        crop_border(image, 3)


def test_rounding_to_levels() -> None:
    assert round_to(np.array([0.5, 0.1]), "8bit").tolist() == [128 / 255, 26 / 255]
    assert round_to(np.array([0.5]), "16bit").tolist() == [32768 / 65535]
    assert round_to(GREY, "none") is GREY
