from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.data.files import cubic, resize_matrix
from unveil.errors import InputError
from unveil.evaluation.resize import RULES, centre_square, imresize, opencv_bilinear, resize

RAMP = np.add.outer(np.arange(12.0), 2 * np.arange(16.0)) / 50
RANDOM = np.random.default_rng(3).random((21, 34, 3))


def dense(length: int, scale: float) -> np.ndarray:
    index, weight = resize_matrix(length, ceil(length * scale), scale, cubic, 2.0, antialias=True, mirror=True)
    matrix = np.zeros((len(index), length))
    np.add.at(matrix, (np.arange(len(index))[:, None], index), weight)
    return matrix


@pytest.mark.shared
@pytest.mark.parametrize("scale", ["0.25", "0.5", "0.75", "1.5"])
def test_matlab_bicubic_equals_the_published_port(shared: Path, scale: str) -> None:
    """The golden inputs were floats of which the file keeps `a`, their 8-bit rounding. The enlargement by 2 determines them."""
    golden = np.load(shared / "golden" / "metrics_imresize.npz")
    rows, columns = (np.linalg.pinv(dense(length, 2.0)) for length in golden["a"].shape[:2])
    image = np.stack([rows @ plane.astype(np.float64) @ columns.T for plane in golden["imresize_2.0"]], axis=2)
    assert np.array_equal(np.rint(image * 255), golden["a"])
    made = imresize(image, scale=float(scale)).transpose(2, 0, 1)
    assert np.abs(made - golden[f"imresize_{scale}"]).max() < 2e-6  # the golden values are float32


@pytest.mark.shared
def test_matlab_bicubic_of_the_rounded_input_stays_within_the_rounding(shared: Path) -> None:
    golden = np.load(shared / "golden" / "metrics_imresize.npz")
    made = imresize(golden["a"] / 255, scale=2.0).transpose(2, 0, 1)
    overshoot = np.abs(dense(48, 2.0)).sum(axis=1).max() * np.abs(dense(56, 2.0)).sum(axis=1).max()
    assert np.abs(made - golden["imresize_2.0"]).max() < overshoot * 0.5 / 255


@pytest.mark.parametrize("scale", [0.5, 1 / 3, 0.4, 1.0, 2.0, 2.7])
def test_matlab_bicubic_keeps_constants_and_sizes(scale: float) -> None:
    made = imresize(np.full((13, 22), 0.37), scale=scale)
    assert made.shape == (ceil(13 * scale), ceil(22 * scale))
    assert np.abs(made - 0.37).max() < 1e-14


def test_matlab_bicubic_by_one_is_the_image_and_by_size_agrees_with_scale() -> None:
    assert np.abs(imresize(RANDOM, scale=1.0) - RANDOM).max() < 1e-15
    assert np.array_equal(imresize(RANDOM, size=(42, 68)), imresize(RANDOM, scale=2.0))


def test_a_line_stays_a_line_where_no_edge_is_near() -> None:
    made = imresize(RAMP, scale=2.0)[6:-6, 6:-6]
    assert np.abs(np.diff(made, axis=1) - 1 / 50).max() < 1e-13
    assert np.abs(np.diff(made, axis=0) - 0.5 / 50).max() < 1e-13


@pytest.mark.parametrize(("scale", "size"), [(None, None), (0.5, (3, 3)), (0.0, None)])
def test_imresize_wants_one_way_of_saying_how_large(scale: float | None, size: tuple[int, int] | None) -> None:
    with pytest.raises(InputError, match="scale"):
        imresize(RAMP, scale=scale, size=size)


def test_opencv_bilinear_by_hand() -> None:
    # Centres aligned: to half the size it averages pairs, to twice the size it mixes neighbours 3 : 1 and holds the ends.
    assert np.allclose(opencv_bilinear(np.array([[0.0, 1.0, 0.2, 0.6]]), (1, 2)), [[0.5, 0.4]], atol=1e-15)
    assert np.allclose(opencv_bilinear(np.array([[0.0, 1.0]]), (1, 4)), [[0, 0.25, 0.75, 1]], atol=1e-15)
    # No antialiasing: to a quarter of the size, pixels between the two nearest are not seen at all.
    assert opencv_bilinear(np.array([[9.0, 0.0, 1.0, 9.0]]), (1, 1)).item() == 0.5


@pytest.mark.parametrize("rule", ["pil_bicubic", "pil_bilinear", "pil_lanczos"])
@pytest.mark.parametrize("size", [(11, 20), (5, 9), (40, 50)])
def test_pillow_rules_are_pillows_own_bit_for_bit(rule: str, size: tuple[int, int]) -> None:
    """Black and white noise, where the filter overshoots most: floating point ends up to 6 levels away, Pillow clips in between."""
    pixels = np.where(RANDOM > 0.5, 255, 0).astype(np.uint8)
    method = Image.Resampling[rule.removeprefix("pil_").upper()]
    for image in (pixels, pixels[..., 0]):
        expected = np.asarray(Image.fromarray(image).resize((size[1], size[0]), method))
        assert np.array_equal(np.rint(resize(image / 255, rule, size) * 255), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [r for r in RULES if r != "none"])
def test_every_rule_gives_the_size_and_leaves_an_image_that_has_it(rule: str) -> None:
    made = resize(RANDOM, rule, (10, 15))  # type: ignore[arg-type]
    assert made.shape == (10, 15, 3)
    assert made.min() >= 0
    assert made.max() <= 1
    assert resize(RANDOM, rule, (21, 34)) is RANDOM  # type: ignore[arg-type]
    assert resize(RANDOM[..., 0], rule, (10, 15)).shape == (10, 15)  # type: ignore[arg-type]


def test_rules_differ_so_they_have_to_be_named() -> None:
    made = [resize(RANDOM, rule, (10, 15)) for rule in RULES if rule != "none"]  # type: ignore[arg-type]
    for i, first in enumerate(made):
        for second in made[i + 1 :]:
            assert np.abs(first - second).max() > 1e-3


def test_the_central_square() -> None:
    assert np.array_equal(centre_square(RANDOM), RANDOM[:, 6:27])


@pytest.mark.parametrize(("rule", "size"), [("nearest", (4, 4)), ("pil_bicubic", None)])
def test_unknown_rules_and_missing_sizes_are_refused(rule: str, size: tuple[int, int] | None) -> None:
    with pytest.raises(InputError, match=rule):
        resize(RANDOM, rule, size)  # type: ignore[arg-type]
