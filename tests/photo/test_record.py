from __future__ import annotations

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.photo.record import from_array

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(("dtype", "top", "depth"), [(np.uint8, 255, 8), (np.uint16, 65535, 16)])
@pytest.mark.parametrize(("channels", "mode"), [(0, "L"), (1, "L"), (3, "RGB"), (4, "RGBA")])
def test_integers_become_unit_floats_and_keep_depth_grey_and_alpha(
    dtype: type, top: int, depth: int, channels: int, mode: str
) -> None:
    pixels = DRAW.integers(0, top + 1, (5, 7, channels) if channels else (5, 7)).astype(dtype)
    made = from_array(pixels, "here")
    assert (made.depth, made.mode, made.grey, made.source) == (depth, mode, mode == "L", "here")
    assert made.pixels.dtype == np.float32
    assert made.pixels.flags.c_contiguous
    colours = pixels.reshape(5, 7, -1)[:, :, : 3 if channels >= 3 else 1]
    expected = np.broadcast_to(colours / np.float64(top), (5, 7, 3))
    assert np.abs(made.pixels - expected).max() < 1e-7
    if channels == 4:
        assert made.alpha is not None
        assert made.alpha.dtype == dtype
        assert np.array_equal(made.alpha, pixels[:, :, 3])
    else:
        assert made.alpha is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_taken_as_they_are(dtype: type) -> None:
    pixels = DRAW.random((4, 3, 3)).astype(dtype)
    made = from_array(pixels)
    assert made.depth == 8
    assert np.array_equal(made.pixels, pixels.astype(np.float32))


def test_the_array_given_is_not_shared_when_it_is_a_view_of_something_larger() -> None:
    large = DRAW.integers(0, 256, (8, 8, 4)).astype(np.uint8)
    made = from_array(large)
    large[:] = 0
    assert made.pixels.max() > 0.5
    assert made.alpha is not None
    assert made.alpha.max() > 100


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4,)), r"must be \(H, W\).*got \(4,\)"),
        (np.zeros((4, 4, 2)), r"got \(4, 4, 2\)"),
        (np.zeros((0, 4, 3)), "not empty"),
        (np.zeros((1, 4, 4, 3)), r"got \(1, 4, 4, 3\)"),
        (np.full((2, 2, 3), np.nan), "NaN"),
        (np.full((2, 2, 3), np.inf), "NaN or infinite"),
        (np.full((2, 2, 3), 255.0), r"must lie in \[0, 1\].*255.*divide"),
        (np.full((2, 2, 3), -0.1), r"spans \[-0.1"),
        (np.zeros((2, 2, 3), np.int32), "got int32"),
        (np.zeros((2, 2, 3), bool), "got bool"),
        (np.zeros((2, 2, 3), complex), "got complex128"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(pixels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_array(pixels)
