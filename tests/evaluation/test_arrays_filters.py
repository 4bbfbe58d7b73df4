from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from unveil.evaluation.arrays import (
    box_mean,
    correlate_same,
    correlate_valid,
    gaussian_kernel,
    max_filter,
    min_filter,
)

IMAGE = np.random.default_rng(2).random((19, 23, 3))
TAPS = np.array([0.5, 0.3, 0.2])  # not symmetric, so that a flip would show


def test_gaussian_kernel_is_normalised_symmetric_and_gaussian() -> None:
    taps = gaussian_kernel(11, 1.5)
    assert taps.sum() == pytest.approx(1, abs=1e-15)
    assert np.array_equal(taps, taps[::-1])
    assert taps[5] / taps[7] == pytest.approx(np.exp(4 / 4.5), rel=1e-14)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 1, 2)])
def test_correlation_equals_scipy(axes: tuple[int, ...]) -> None:
    expected = IMAGE
    for axis in axes:
        expected = ndimage.correlate1d(expected, TAPS, axis=axis, mode="nearest")
    assert np.abs(correlate_same(IMAGE, TAPS, axes) - expected).max() < 1e-15
    inside = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(3))
    assert np.abs(correlate_valid(IMAGE, TAPS, axes) - expected[inside]).max() < 1e-15


@pytest.mark.parametrize("radius", [0, 1, 4, 30])
def test_box_mean_averages_what_lies_inside(radius: int) -> None:
    plane = IMAGE[..., 0]
    expected = np.array(
        [
            [
                plane[max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1].mean()
                for j in range(plane.shape[1])
            ]
            for i in range(plane.shape[0])
        ]
    )
    assert np.abs(box_mean(plane, radius) - expected).max() < 1e-13
    assert np.abs(box_mean(IMAGE, radius)[..., 0] - expected).max() < 1e-13


@pytest.mark.parametrize("radius", [0, 2, 40])
def test_extreme_filters_equal_scipy(radius: int) -> None:
    size = 2 * radius + 1
    assert np.array_equal(min_filter(IMAGE[..., 0], radius), ndimage.minimum_filter(IMAGE[..., 0], size))
    assert np.array_equal(max_filter(IMAGE[..., 0], radius), ndimage.maximum_filter(IMAGE[..., 0], size))
