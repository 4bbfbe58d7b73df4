from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity

from unveil.errors import InputError
from unveil.evaluation.metrics.classical import halve, mean_similarity, ms_ssim, similarity_maps, ssim

WINDOWS = ["gaussian11", "uniform7", "volumetric"]


@pytest.mark.shared
def test_ssim_equals_the_published_code(shared: Path) -> None:
    golden = np.load(shared / "golden" / "metrics_imresize.npz")
    a, b = golden["a"], golden["b"]  # in the order blue, green, red
    assert ssim(a, b) == pytest.approx(golden["ssim_bgr"].item(), abs=1e-12)
    luma = ssim(a[..., ::-1], b[..., ::-1], space="y_bt601_limited")
    assert luma == pytest.approx(golden["ssim_y"].item(), abs=1e-12)


def test_gaussian_window_equals_scikit_image(photo: np.ndarray, noisy: np.ndarray) -> None:
    expected = structural_similarity(
        noisy, photo, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(noisy, photo) == pytest.approx(expected, abs=1e-12)


def test_uniform_window_equals_scikit_images_default(photo: np.ndarray, noisy: np.ndarray) -> None:
    expected = structural_similarity(noisy, photo, channel_axis=2, data_range=255)
    assert ssim(noisy, photo, window="uniform7") == pytest.approx(expected, abs=1e-12)


def test_volumetric_window_is_one_gaussian_over_three_axes(photo: np.ndarray, noisy: np.ndarray) -> None:
    """Written out in one 11x11x11 kernel as MATLAB's documentation has it; MATLAB itself was not run."""
    left, right = noisy[:40, :30] / 255, photo[:40, :30] / 255
    x = np.arange(-5, 6) ** 2
    kernel = np.exp(-(x[:, None, None] + x[:, None] + x) / 4.5)
    kernel /= kernel.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.correlate(values, kernel, mode="nearest")

    m, n = mean(left), mean(right)
    top = (2 * m * n + 1e-4) * (2 * (mean(left * right) - m * n) + 9e-4)
    bottom = (m**2 + n**2 + 1e-4) * (mean(left**2) - m**2 + mean(right**2) - n**2 + 9e-4)
    assert ssim(left, right, window="volumetric") == pytest.approx((top / bottom).mean(), abs=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_equal_images_score_one_also_constant_ones(photo: np.ndarray, window: str) -> None:
    assert ssim(photo, photo, window=window) == pytest.approx(1, abs=1e-12)  # type: ignore[arg-type]
    flat = np.full((20, 20, 3), 0.25)
    assert ssim(flat, flat, window=window) == pytest.approx(1, abs=1e-12)  # type: ignore[arg-type]
    # Two flat images differ in luminance alone: (2 a b + C1) / (a^2 + b^2 + C1).
    expected = (2 * 0.25 * 0.5 + 1e-4) / (0.25**2 + 0.5**2 + 1e-4)
    assert ssim(flat, flat * 2, window=window) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("window", ["gaussian11", "uniform7"])
def test_bands_change_nothing(photo: np.ndarray, noisy: np.ndarray, window: str) -> None:
    left, right = noisy / 255, photo / 255
    whole = [values.mean(axis=(0, 1)) for values in similarity_maps(left, right, window)]  # type: ignore[arg-type]
    assert np.abs(np.stack(mean_similarity(left, right, window)) - np.stack(whole)).max() < 1e-13  # type: ignore[arg-type]


def test_windows_differ_so_they_have_to_be_named(photo: np.ndarray, noisy: np.ndarray) -> None:
    scores = [ssim(noisy, photo, window=window) for window in WINDOWS]  # type: ignore[arg-type]
    assert min(abs(a - b) for i, a in enumerate(scores) for b in scores[i + 1 :]) > 1e-3


def test_a_region_is_taken_on_blackened_images(photo: np.ndarray, noisy: np.ndarray) -> None:
    mask = np.zeros(photo.shape[:2])
    mask[50:120, 60:150] = 1
    inside = mask[..., None] > 0
    assert ssim(noisy, photo, mask=mask) == ssim(noisy / 255 * inside, photo / 255 * inside)


def test_torchmetrics_agrees_where_the_window_fits(photo: np.ndarray, noisy: np.ndarray) -> None:
    torchmetrics = pytest.importorskip("torchmetrics.functional.image", exc_type=ImportError)
    left, right = (torch.from_numpy(x / 255).permute(2, 0, 1)[None] for x in (noisy, photo))
    _, full = torchmetrics.structural_similarity_index_measure(
        left, right, data_range=1.0, sigma=1.5, return_full_image=True
    )
    assert ssim(noisy, photo) == pytest.approx(full[..., 5:-5, 5:-5].mean().item(), abs=1e-9)


def test_torchmetrics_agrees_on_ms_ssim(photo: np.ndarray, noisy: np.ndarray) -> None:
    torchmetrics = pytest.importorskip("torchmetrics.functional.image", exc_type=ImportError)
    left, right = (torch.from_numpy(x / 255).permute(2, 0, 1)[None] for x in (noisy, photo))
    theirs = torchmetrics.multiscale_structural_similarity_index_measure(
        left, right, data_range=1.0, sigma=1.5, normalize="relu"
    )
    # At the coarsest scale theirs also averages over mirrored edges, where the window does not fit.
    assert ms_ssim(noisy, photo) == pytest.approx(theirs.item(), abs=2e-3)


def test_ms_ssim_is_the_weighted_product_of_its_scales(photo: np.ndarray, noisy: np.ndarray) -> None:
    left, right = noisy[..., 0] / 255, photo[..., 0] / 255
    assert ms_ssim(photo, photo) == pytest.approx(1, abs=1e-12)
    logarithm = 0.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        similarity, contrast = similarity_maps(left, right, "gaussian11")
        logarithm += weight * np.log((similarity if scale == 4 else contrast).mean())
        left, right = halve(left), halve(right)
    assert ms_ssim(noisy[..., 0], photo[..., 0]) == pytest.approx(np.exp(logarithm), abs=1e-12)


def test_ms_ssim_of_opposites_is_zero_not_nan(photo: np.ndarray) -> None:
    assert ms_ssim(255 - photo, photo) == 0


def test_halving_averages_blocks_and_drops_an_odd_edge() -> None:
    assert halve(np.arange(15.0).reshape(3, 5)).tolist() == [[3.0, 5.0]]


@pytest.mark.parametrize(
    ("size", "window", "says"),
    [((10, 40), "gaussian11", "11x11 window"), ((6, 40), "uniform7", "7x7 window"), ((40, 40), "box", "unknown SSIM")],
)
def test_small_images_and_unknown_windows_are_refused(size: tuple[int, int], window: str, says: str) -> None:
    image = np.zeros(size)
    with pytest.raises(InputError, match=says):
        ssim(image, image, window=window)  # type: ignore[arg-type]


def test_ms_ssim_says_how_large_an_image_must_be(photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="at least 176 pixels"):
        ms_ssim(photo[:175], photo[:175])
    assert 0 < ms_ssim(photo[:176, :176], photo[1:177, 1:177]) < 1
