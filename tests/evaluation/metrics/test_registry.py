from __future__ import annotations

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.evaluation.metrics.registry import METRICS, get_metric
from unveil.evaluation.protocols import Protocol

CORE = ["psnr", "psnr_mean_matched", "ssim", "ms_ssim", "mae_lab", "ciede2000", "naturalness"]


@pytest.mark.parametrize("name", CORE)
def test_better_is_the_way_it_says(name: str, photo: np.ndarray) -> None:
    """A little damage scores worse than none and better than much."""
    rng = np.random.default_rng(0)
    scores = []
    for sigma in (1, 8, 40):
        damaged = np.clip(photo / 255 + rng.normal(0, sigma / 255, photo.shape), 0, 1)
        scores.append(METRICS[name].compute(damaged, photo / 255, None, Protocol()))
    ordered = sorted(scores, reverse=METRICS[name].better == "higher")
    assert scores == ordered
    assert len(set(scores)) == 3


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("psnr", {"space": "y_bt601_limited"}),
        ("psnr_mean_matched", {"space": "y_bt601_full"}),
        ("ssim", {"ssim_space": "y_bt601_full"}),
        ("ssim", {"ssim_window": "volumetric"}),
        ("ms_ssim", {"ssim_space": "y_bt601_full"}),
        ("mae_lab", {"lab_white": "D50"}),
        ("mae_lab", {"lab_rounding": "8bit"}),
        ("ciede2000", {"lab_white": "D50"}),
    ],
)
def test_the_settings_of_a_protocol_reach_the_metric(
    name: str, change: dict, photo: np.ndarray, noisy: np.ndarray
) -> None:
    left, right = noisy / 255 * 0.999, photo / 255
    plain = METRICS[name].compute(left, right, None, Protocol())
    assert METRICS[name].compute(left, right, None, Protocol(**change)) != plain


@pytest.mark.parametrize("name", [n for n in CORE if METRICS[n].regions])
def test_metrics_with_regions_look_at_the_mask(name: str, photo: np.ndarray, noisy: np.ndarray) -> None:
    mask = np.zeros(photo.shape[:2], dtype=bool)
    mask[:60] = True
    left, right = noisy / 255, photo / 255
    values = [METRICS[name].compute(left, right, region, Protocol()) for region in (None, mask, ~mask)]
    assert len(set(values)) == 3


def test_unknown_metrics_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"known: psnr, psnr_mean_matched, ssim.*fid"):
        get_metric("PSNRR")
