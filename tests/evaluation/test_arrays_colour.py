from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab, rgb2ycbcr

from unveil.errors import InputError
from unveil.evaluation.arrays import lab_to_rgb, linear_to_srgb, rgb_to_lab, srgb_to_linear, to_space

RANDOM = np.random.default_rng(1).random((13, 17, 3))


@pytest.mark.shared
def test_limited_luma_equals_the_published_code(shared: Path) -> None:
    golden = np.load(shared / "golden" / "metrics_imresize.npz")
    assert np.abs(to_space(golden["a"][..., ::-1] / 255, "y_bt601_limited") - golden["y_a"]).max() < 1e-15


def test_limited_luma_equals_scikit_image() -> None:
    assert np.abs(to_space(RANDOM, "y_bt601_limited") - rgb2ycbcr(RANDOM)[..., 0] / 255).max() < 1e-14


def test_luma_of_black_and_white() -> None:
    ends = np.array([[[0.0] * 3, [1.0] * 3]])
    assert np.allclose(to_space(ends, "y_bt601_full"), [[0, 1]], atol=1e-15)
    assert np.allclose(to_space(ends, "y_bt601_limited"), [[16 / 255, 235 / 255]], atol=1e-15)
    assert np.allclose(to_space(ends[..., 0], "y_bt601_full"), [[0, 1]], atol=1e-15)


def test_eight_bit_luma_is_whole() -> None:
    luma = to_space(RANDOM, "y_bt601_full_8bit") * 255
    assert np.abs(luma - np.rint(luma)).max() < 1e-12
    assert np.abs(luma / 255 - to_space(RANDOM, "y_bt601_full")).max() <= 0.5 / 255 + 1e-12


def test_lab_under_d65_equals_scikit_image() -> None:
    assert np.abs(rgb_to_lab(RANDOM) - rgb2lab(RANDOM)).max() < 0.02  # scikit-image's matrix has six digits


def test_lab_under_d50_gives_the_known_values_of_the_srgb_primaries() -> None:
    # Bradford-adapted values as colour-management tools show them for pure red, green and blue.
    known = [[54.29, 80.81, 69.89], [87.82, -79.28, 80.99], [29.57, 68.29, -112.03]]
    assert np.abs(rgb_to_lab(np.eye(3)[None], "D50")[0] - known).max() < 0.01


@pytest.mark.parametrize("white", ["D50", "D65"])
def test_grey_has_no_colour_and_lab_goes_back(white: str) -> None:
    ramp = rgb_to_lab(np.linspace(0, 1, 11)[None], white)
    assert np.abs(ramp[..., 1:]).max() < 1e-12
    assert ramp[0, -1, 0] == pytest.approx(100, abs=1e-12)
    assert np.abs(lab_to_rgb(rgb_to_lab(RANDOM, white), white) - RANDOM).max() < 1e-13


def test_the_srgb_curve_goes_back_and_is_continuous() -> None:
    assert np.abs(linear_to_srgb(srgb_to_linear(RANDOM)) - RANDOM).max() < 1e-14
    assert np.diff(srgb_to_linear(np.array([0.04045, 0.04046]))) < 1e-5


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="known are rgb"):
        to_space(RANDOM, "hsv")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="known are D65"):
        rgb_to_lab(RANDOM, "A")  # type: ignore[arg-type]
