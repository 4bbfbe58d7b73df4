from __future__ import annotations

import numpy as np
import pytest

from unveil.evaluation.arrays import guided_filter
from unveil.evaluation.baselines import dark_channel, dark_channel_inverted, lime_like
from unveil.evaluation.metrics.classical import psnr


def test_the_guided_filter_keeps_edges_of_its_guide_and_flattens_what_is_weak() -> None:
    step = np.zeros((40, 40))
    step[:, 20:] = 1.0
    noisy = step + np.random.default_rng(0).normal(0, 0.05, step.shape)
    made = guided_filter(step, noisy, 4, 1e-4)
    assert np.abs(made - step).max() < 0.04
    assert guided_filter(noisy, noisy, 4, 10.0).std() < 0.9 * noisy.std()
    assert np.allclose(guided_filter(noisy, 0.2 + 0.5 * noisy, 4, 0.0), 0.2 + 0.5 * noisy, atol=1e-9), (
        "linear in the guide"
    )


@pytest.mark.parametrize(("transmission", "gained"), [(0.4, 5), (0.7, 1)])
def test_haze_of_the_physical_model_is_taken_away(photo: np.ndarray, transmission: float, gained: float) -> None:
    clean = photo / 255
    hazy = clean * transmission + 0.9 * (1 - transmission)
    assert psnr(dark_channel(hazy), clean) > psnr(hazy, clean) + gained
    mild, strong = dark_channel(hazy, 0.5), dark_channel(hazy, 0.95)
    assert hazy.mean() > mild.mean() > strong.mean()


def test_low_light_is_brightened(photo: np.ndarray) -> None:
    clean = photo / 255
    dark = clean * 0.1
    for brighten in (lime_like, dark_channel_inverted):
        made = brighten(dark)
        assert made.mean() > 2 * dark.mean()
        assert psnr(made, clean) > psnr(dark, clean) + 3


def test_lime_divides_by_the_illumination_to_a_power() -> None:
    flat = np.full((30, 30, 3), 0.2) * [1.0, 0.5, 0.25]
    assert np.allclose(lime_like(flat), flat / 0.2**0.8, atol=1e-9)
    assert np.allclose(lime_like(flat * 0), 0)
