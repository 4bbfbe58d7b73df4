"""Draws and targets from known distributions give back their closed forms."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isnan, pi, sqrt

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.evaluation.calibration import Calibration, fit, fit_stated, measure
from unveil.evaluation.evidence import Evidence, gather, gather_stated

SIDE, K = 32, 8
SIGMA = 0.04


def scene(seed: int, width: float = 1.0, draws: int = K, varied: bool = False) -> Evidence:
    """A photograph whose target is a Gaussian draw about a mean, and draws `width` times as wide about the same mean."""
    generator = np.random.default_rng(seed)
    mean = generator.uniform(0.4, 0.6, (SIDE, SIDE, 3))
    sigma = np.full((SIDE, SIDE, 1), SIGMA)
    if varied:  # half of the photograph is five times as uncertain as the other
        sigma[:, : SIDE // 2] /= 5
    target = mean + sigma * generator.standard_normal(mean.shape)
    samples = mean + width * sigma * generator.standard_normal((draws, *mean.shape))
    return gather(samples.clip(0, 1), target.clip(0, 1), rounding=0.0, patch=8)


@pytest.fixture(scope="module")
def honest() -> list[Evidence]:
    return [scene(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def narrow() -> list[Evidence]:
    return [scene(100 + seed, width=0.5) for seed in range(24)]


def test_gaussian_draws_cover_their_nominal_levels(honest: list[Evidence]) -> None:
    found = measure(honest)
    for level, share in found.coverage.items():
        assert share == pytest.approx(level, abs=0.01), level  # 36,864 values
    assert max(abs(share - level) for level, share in found.curve.items()) < 0.01
    assert found.empirical == pytest.approx({0.5: 0.5}, abs=0.01)  # eight draws can bound no more


def test_empirical_intervals_of_enough_draws() -> None:
    found = measure([scene(seed, draws=39) for seed in range(4)])
    assert found.empirical == pytest.approx({0.5: 0.5, 0.8: 0.8, 0.9: 0.9, 0.95: 0.95}, abs=0.015)


def test_crps_of_a_gaussian_is_its_closed_form(honest: list[Evidence]) -> None:
    # E over truth and draws of one Gaussian: E|X - Y| - E|X - X'| / 2 = sigma / sqrt(pi).
    assert measure(honest).crps == pytest.approx(SIGMA / sqrt(pi), rel=0.01)


def test_spread_and_error(honest: list[Evidence]) -> None:
    found = measure(honest)
    assert found.spread == pytest.approx(SIGMA, rel=0.01)
    assert found.error == pytest.approx(SIGMA * sqrt(1 + 1 / K), rel=0.01)


def test_narrow_draws_undercover_and_the_factor_puts_it_right(narrow: list[Evidence]) -> None:
    before = measure(narrow[12:])
    # Of the error's sqrt(1 + 0.25 / 8) sigma, the draws announce half of sqrt(1 + 1 / 8): t_7 of 0.52 times the 90 % quantile.
    assert before.coverage[0.9] == pytest.approx(0.642, abs=0.02)
    calibration = fit(narrow[:12])
    assert calibration.factor == pytest.approx(sqrt(1 + 0.25 / K) / (0.5 * sqrt(1 + 1 / K)), rel=0.02)
    after = measure(narrow[12:], calibration.factor)
    for level, share in after.coverage.items():
        assert share == pytest.approx(level, abs=0.015), level
    assert after.crps < before.crps


def test_conformal_widths_hold_their_level_on_other_photographs(narrow: list[Evidence]) -> None:
    calibration = fit(narrow[:12], levels=(0.5, 0.8, 0.9))
    for level in (0.5, 0.8, 0.9):
        inside = np.mean(
            [(e.error() <= calibration.half_width(e.samples.std(0, ddof=1), level)).mean() for e in narrow[12:]]
        )
        # Twelve photographs: the guarantee costs at most 2 / 13 of width in level; these are all alike.
        assert level - 0.015 <= inside <= level + 2 / 13 + 0.015
        assert calibration.photograph[level] > 0


def test_levels_that_too_few_photographs_reach_are_absent(narrow: list[Evidence]) -> None:
    calibration = fit(narrow[:12])
    assert set(calibration.pixel) == {0.5, 0.8, 0.9}
    # Nine photographs would have to bound 90 % by the largest score of all.
    assert set(fit(narrow[:9]).pixel) == {0.5, 0.8}
    with pytest.raises(InputError, match=r"0\.95 was not calibrated"):
        calibration.half_width(np.ones(3), 0.95)


def test_std_that_follows_the_error_correlates_and_one_that_does_not_does_not(honest: list[Evidence]) -> None:
    varied = measure([scene(200 + seed, varied=True) for seed in range(6)])
    # Two classes that never mix, by chance inside them: 3/4 of the variance of the ranks lies between the classes.
    assert varied.patch_correlation == pytest.approx(0.75, abs=0.05)
    assert varied.pooled_correlation == pytest.approx(0.75, abs=0.05)
    assert 0.4 < varied.pixel_correlation < 0.8
    even = measure(honest)
    assert abs(even.pixel_correlation) < 0.05
    assert abs(even.pooled_correlation) < 0.2


def test_draws_without_spread() -> None:
    target = np.full((8, 8), 0.5)
    right = gather(np.repeat(target[None], 4, 0), target, rounding=0.0, patch=4)
    wrong = gather(np.repeat(target[None] + 0.1, 4, 0), target, rounding=0.0, patch=4)
    assert measure([right]).coverage[0.5] == 1.0
    found = measure([wrong])
    assert found.coverage[0.95] == 0.0
    assert isnan(found.pixel_correlation)
    with pytest.raises(InputError, match="no spread"):
        fit([wrong] * 20)
    # An error below the target's own rounding is no error of the draws.
    near = gather(np.repeat(target[None] + 0.0005, 4, 0), target, patch=4)
    assert measure([near]).coverage[0.5] == 1.0


def test_the_seed_chooses_the_pixels_and_few_pixels_give_all() -> None:
    generator = np.random.default_rng(0)
    samples, target = generator.random((3, 16, 16, 3)), generator.random((16, 16, 3))
    some = gather(samples, target, pixels=50, seed=1)
    assert some.samples.shape == (3, 150)
    np.testing.assert_array_equal(some.truth, gather(samples, target, pixels=50, seed=1).truth)
    assert not np.array_equal(some.truth, gather(samples, target, pixels=50, seed=2).truth)
    assert sorted(gather(samples, target, pixels=10_000).truth) == sorted(target.ravel())


def test_json_gives_the_same_calibration_back(narrow: list[Evidence]) -> None:
    calibration = fit(narrow[:12], protocol={"solver": "2m", "steps": 5})
    assert Calibration.from_json(calibration.to_json()) == calibration
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
    with pytest.raises(InputError, match="infinite"):
        replace(calibration, pixel={0.9: float("inf")}).to_json()
    for text in ("[]", "{", '{"factor": 1.0}'):
        with pytest.raises(InputError, match="no calibration"):
            Calibration.from_json(text)


def test_what_cannot_be_measured_is_refused(honest: list[Evidence]) -> None:
    with pytest.raises(InputError, match="two draws"):
        gather(np.zeros((1, 8, 8)), np.zeros((8, 8)))
    with pytest.raises(InputError, match="target's shape"):
        gather(np.zeros((2, 8, 8)), np.zeros((8, 9)))
    with pytest.raises(InputError, match="NaN"):
        gather(np.full((2, 8, 8), np.nan), np.zeros((8, 8)))
    with pytest.raises(InputError, match="none"):
        measure([])
    with pytest.raises(InputError, match=r"\[3, 8\]"):
        measure([honest[0], scene(0, draws=3)])


def stated(seed: int, scale: float, kind: str) -> tuple[Evidence, tuple[str, ...]]:
    """One photograph whose error is `scale` times as wide as what is said of it."""
    generator = np.random.default_rng(seed)
    image = np.full((64, 64, 3), 0.5)
    std = np.broadcast_to(generator.uniform(0.01, 0.05, (64, 64, 1)), image.shape)
    truth = image + scale * std * generator.standard_normal(image.shape)
    return gather_stated(image, std, truth, rounding=0.0, seed=seed), (kind,)


def test_a_deviation_that_is_stated_is_measured_as_a_gaussian() -> None:
    found = [stated(i, 1.0, "noise")[0] for i in range(8)]
    measured = measure(found)
    assert measured.coverage[0.9] == pytest.approx(0.9, abs=0.006)
    assert measured.coverage[0.5] == pytest.approx(0.5, abs=0.01)
    assert measured.pixel_correlation > 0.3  # of |error| and its own deviation, which varies five-fold
    assert measured.spread == pytest.approx(measured.error, rel=0.02)


def test_stated_deviations_are_stretched_by_kind() -> None:
    pairs = [stated(i, 2.0, "noise") for i in range(10)] + [stated(50 + i, 0.5, "haze") for i in range(10)]
    pairs += [stated(90, 1.0, "rain")]
    known = fit_stated([e for e, _ in pairs], [k for _, k in pairs], protocol={"fidelity": 1.0})
    assert known.of == "doubt"
    assert known.kinds == pytest.approx(
        {"noise": 2.0, "haze": 0.5}, rel=0.03
    )  # rain is too seldom for a factor of its own
    assert 1.0 < known.factor < 2.0
    # In stretched deviations: 21 photographs allow 0.1 * 22 / 21 - 1 / 21 outside, which a Gaussian has beyond 1.90.
    assert known.pixel[0.9] == pytest.approx(1.90, rel=0.03)
    assert known.protocol == {"fidelity": 1.0}


def test_a_few_photographs_do_not_stretch_what_they_cannot_tell_from_right() -> None:
    scales = [0.4, 1.5, 0.7, 1.3, 0.5, 1.1]  # six photographs, whose errors are now wider and now narrower than is said
    pairs = [stated(i, scale, "haze") for i, scale in enumerate(scales)]
    known = fit_stated([e for e, _ in pairs], [k for _, k in pairs], protocol={})
    assert known.factor == known.light == 1.0
    assert known.kinds == {}


def test_what_is_stated_must_have_the_shape_of_the_picture() -> None:
    with pytest.raises(InputError, match="one shape"):
        gather_stated(np.zeros((8, 8, 3)), np.zeros((8, 8)), np.zeros((8, 8, 3)))
