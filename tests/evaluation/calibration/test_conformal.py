"""The guarantees, over exchangeable photographs whose difficulty differs and whose pixels depend on each other."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.evaluation.calibration import fewest_photographs, photograph_factor, pixel_factor

LEVEL = 0.9
TRIALS, CALIBRATION, VALUES = 1500, 19, 60


def photographs(generator: np.random.Generator, count: int) -> np.ndarray:
    """(count, VALUES) scores: one difficulty a photograph, a share of the error common to its pixels, heavy tails."""
    difficulty = generator.lognormal(0, 0.7, (count, 1))
    common = generator.standard_normal((count, 1))
    return difficulty * np.abs(0.6 * common + 0.8 * generator.standard_t(3, (count, VALUES)))


@pytest.fixture(scope="module")
def trials() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each trial: share inside by the pixel factor, whether the photograph holds by the photograph factor, the plain share."""
    generator = np.random.default_rng(0)
    pixel, whole, plain = [], [], []
    for _ in range(TRIALS):
        scores = photographs(generator, CALIBRATION + 1)
        known, new = list(scores[:-1]), scores[-1]
        pixel.append((new <= pixel_factor(known, LEVEL)).mean())
        whole.append((new <= photograph_factor(known, LEVEL, 0.8)).mean() >= LEVEL)
        plain.append((new <= np.quantile(np.concatenate(known), LEVEL)).mean())
    return np.array(pixel), np.array(whole), np.array(plain)


def test_expected_share_is_at_least_the_level(trials: tuple[np.ndarray, ...]) -> None:
    share = trials[0]
    error = share.std() / np.sqrt(TRIALS)
    assert share.mean() >= LEVEL - 3 * error
    # Not by being infinitely wide: the excess is bounded by 2 / (n + 1) (Angelopoulos et al. 2022, theorem 2).
    assert share.mean() <= LEVEL + 2 / (CALIBRATION + 1) + 3 * error


def test_the_plain_quantile_falls_short_of_it(trials: tuple[np.ndarray, ...]) -> None:
    assert trials[2].mean() < LEVEL < trials[0].mean()


def test_photographs_hold_as_often_as_promised_and_no_oftener(trials: tuple[np.ndarray, ...]) -> None:
    held = trials[1].mean()
    error = np.sqrt(0.8 * 0.2 / TRIALS)
    assert 0.8 - 3 * error <= held <= 0.8 + 1 / (CALIBRATION + 1) + 3 * error


def test_by_hand() -> None:
    # 19 photographs of one value each, 1..19: (20 * 0.9) = 18th smallest; risk: at most 0.1 * 20 / 19 - 1 / 19 = 1 / 19 outside.
    scores = [np.array([float(k)]) for k in range(1, 20)]
    assert photograph_factor(scores, 0.5, 0.9) == 18
    assert pixel_factor(scores, 0.9) == 18


def test_with_the_fewest_photographs_nothing_may_be_outside() -> None:
    rows = list(np.random.default_rng(3).random((19, 6144)))
    assert pixel_factor(rows, 0.95) == max(row.max() for row in rows)


def test_too_few_photographs_are_refused() -> None:
    assert [fewest_photographs(x) for x in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]
    with pytest.raises(InputError, match=r"8 calibration photographs.*at least 9"):
        pixel_factor([np.ones(5)] * 8, 0.9)
    with pytest.raises(InputError, match="at least 9"):
        photograph_factor([np.ones(5)] * 8, 0.5, 0.9)


def test_infinite_scores_are_outside_unless_they_need_not_be() -> None:
    rows = [np.array([1.0] * 9 + [inf])] * 9
    assert pixel_factor(rows, 0.5) == 1.0
    assert pixel_factor(rows, 0.9) == inf
