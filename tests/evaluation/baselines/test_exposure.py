from __future__ import annotations

import numpy as np
import pytest

from unveil.evaluation import baselines

FADED = 0.3 + 0.2 * np.random.default_rng(0).random((40, 50, 3))


def test_stretch_sends_the_percentiles_to_black_and_white() -> None:
    made = baselines.stretch(FADED)
    black, white = np.percentile(FADED, [1, 99])
    inside = (black < FADED) & (white > FADED)
    assert np.abs(made[inside] - (FADED[inside] - black) / (white - black)).max() < 1e-14
    assert (made == 0).mean() == pytest.approx(0.01, abs=1e-3)
    assert (made == 1).mean() == pytest.approx(0.01, abs=1e-3)


def test_stretch_by_channel_removes_a_cast_that_the_common_one_keeps() -> None:
    cast = FADED * [1.0, 0.7, 0.4]
    assert np.ptp(baselines.stretch_channels(cast).mean(axis=(0, 1))) < 0.02
    assert np.ptp(baselines.stretch(cast).mean(axis=(0, 1))) > 0.3


def test_dividing_by_a_percentile() -> None:
    white = np.percentile(FADED, 99)
    assert np.allclose(baselines.divide_by_percentile(FADED), np.minimum(FADED / white, 1), atol=1e-15)


def test_grey_world_makes_the_means_equal() -> None:
    means = baselines.grey_world(FADED * [1.0, 0.9, 0.8]).mean(axis=(0, 1))
    assert np.ptp(means) < 1e-12


def test_gain_and_gamma_reach_the_mean_each_in_its_way() -> None:
    dark = FADED**3
    assert baselines.gain(dark).mean() == pytest.approx(0.45, abs=1e-12)
    bright = baselines.gamma(dark)
    assert bright.mean() == pytest.approx(0.45, abs=1e-9)
    exponent = np.log(bright) / np.log(dark)
    assert np.ptp(exponent) < 1e-9
    assert baselines.gamma(1 - dark).mean() == pytest.approx(0.45, abs=1e-9), "it darkens too"


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_flat_images_have_nothing_to_stretch(level: float) -> None:
    flat = np.full((5, 5, 3), level)
    assert np.array_equal(baselines.stretch(flat), flat)
    assert np.array_equal(baselines.grey_world(flat), flat)
