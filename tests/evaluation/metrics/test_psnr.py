from __future__ import annotations

from math import inf, log10
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from unveil.errors import InputError
from unveil.evaluation.metrics.classical import match_mean, psnr, psnr_mean_matched


@pytest.mark.shared
def test_psnr_equals_the_published_code(shared: Path) -> None:
    golden = np.load(shared / "golden" / "metrics_imresize.npz")
    a, b = golden["a"], golden["b"]  # in the order blue, green, red
    assert psnr(a, b) == pytest.approx(golden["psnr_bgr"].item(), abs=1e-12)
    limited = psnr(a[..., ::-1], b[..., ::-1], space="y_bt601_limited")
    assert limited == pytest.approx(golden["psnr_y"].item(), abs=1e-12)


def test_psnr_equals_scikit_image_for_every_type(photo: np.ndarray, noisy: np.ndarray) -> None:
    expected = peak_signal_noise_ratio(photo, noisy, data_range=255)
    assert psnr(noisy, photo) == pytest.approx(expected, abs=1e-12)
    assert psnr(noisy / 255, photo) == pytest.approx(expected, abs=1e-12)
    assert psnr(noisy.astype(np.uint16) * 257, photo) == pytest.approx(expected, abs=1e-12)
    assert psnr(torch.from_numpy(noisy.copy()), photo) == pytest.approx(expected, abs=1e-12)


def test_psnr_by_hand() -> None:
    black = np.zeros((4, 4, 3))
    assert psnr(black + 0.1, black) == pytest.approx(20, abs=1e-12)
    assert psnr(black, black) == inf
    # Full luma of a grey shift is the shift; limited luma shrinks it by 219/255.
    assert psnr(black + 0.1, black, space="y_bt601_full") == pytest.approx(20, abs=1e-12)
    limited = psnr(black + 0.1, black, space="y_bt601_limited")
    assert limited == pytest.approx(20 + 20 * log10(255 / 219), abs=1e-12)


def test_regions_over_their_pixels_and_over_the_frame() -> None:
    target = np.zeros((10, 10, 3))
    prediction = target.copy()
    prediction[:2] = 0.1
    prediction[2:] = 0.3
    mask = np.zeros((10, 10))
    mask[:2] = 255
    assert psnr(prediction, target, mask=mask) == pytest.approx(20, abs=1e-12)
    assert psnr(prediction, target, mask=mask, region="frame") == pytest.approx(20 + 10 * log10(5), abs=1e-12)
    blackened = psnr(prediction * (mask[..., None] > 0), target)
    assert psnr(prediction, target, mask=mask, region="frame") == pytest.approx(blackened, abs=1e-12)
    with pytest.raises(InputError, match="mask is empty"):
        psnr(prediction, target, mask=0 * mask)


def test_mean_matching_removes_a_global_gain(photo: np.ndarray) -> None:
    target = photo / 255 * 0.9
    assert psnr(target * 0.25, target) < 15
    assert psnr_mean_matched(target * 0.25, target) > 250


def test_mean_matching_weighs_the_channels_as_luma_and_clips() -> None:
    prediction, target = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    prediction[..., 1], target[..., 0] = 0.2, 0.5
    assert match_mean(prediction, target)[0, 0, 1] == pytest.approx(0.5 * 0.299 / 0.587, abs=1e-15)
    assert match_mean(np.array([[0.1, 0.9]]), np.array([[1.0, 1.0]])).tolist() == [[0.2, 1.0]]


def test_black_cannot_be_matched_and_is_scored_as_it_is() -> None:
    black, target = np.zeros((2, 2, 3)), np.full((2, 2, 3), 0.1)
    assert psnr_mean_matched(black, target) == psnr(black, target)
