from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from unveil.errors import InputError
from unveil.evaluation import baselines
from unveil.evaluation.baselines import BASELINES
from unveil.evaluation.metrics.classical import psnr
from unveil.photo.noise_level import noise_level


@pytest.mark.parametrize("sigma", [2, 10, 30])
def test_the_noise_level_is_found(photo: np.ndarray, sigma: float) -> None:
    blurred = ndimage.gaussian_filter(photo / 255, (2, 2, 0))  # free of its own noise
    noisy = blurred + np.random.default_rng(0).normal(0, sigma / 255, photo.shape)
    assert noise_level(noisy).sigma * 255 == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("image", [np.full((20, 21, 3), 0.3), np.zeros((1, 1, 3)), np.full((2, 9, 3), 1.0)])
def test_a_flat_image_has_no_noise_and_is_returned(image: np.ndarray) -> None:
    assert noise_level(image).sigma == 0
    for method in (baselines.non_local_means, baselines.total_variation, baselines.bilateral):
        assert method(image) is image


@pytest.mark.parametrize("name", ["non_local_means", "total_variation", "median", "bilateral"])
def test_noise_goes_down(photo: np.ndarray, noisy: np.ndarray, name: str) -> None:
    made = getattr(baselines, name)(noisy / 255)
    assert psnr(made, photo) > psnr(noisy, photo) + 2.5


@pytest.mark.parametrize("turn", [np.rot90, np.flipud, np.fliplr])
def test_a_picture_turned_and_turned_back_is_the_same(
    noisy: np.ndarray, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    """scikit-image's fast mode is off-centre by half a pixel and fails this by 0.1."""
    image = noisy[:40, :50] / 255
    made = baselines.non_local_means(turn(image), sigma=0.1)
    assert np.abs(made - turn(baselines.non_local_means(image, sigma=0.1))).max() < 1e-5


def test_the_label_says_what_runs() -> None:
    parameters = inspect.signature(baselines.non_local_means).parameters
    patch, radius = parameters["patch"].default, parameters["search_radius"].default
    window, strength = 2 * radius + 1, f"{parameters['strength'].default:g}".lstrip("0")
    assert BASELINES["nlm"].note == f"{patch}x{patch} patches, {window}x{window} window, h = {strength} sigma, blind"


def test_non_local_means_is_its_definition(noisy: np.ndarray) -> None:
    image = noisy[:24, :26] / 255
    sigma = noise_level(image).sigma
    made = baselines.non_local_means(image, 0.9, patch=3, search_radius=2)
    padded = np.pad(image, ((8, 8), (8, 8), (0, 0)), mode="symmetric")
    for i, j in [(0, 0), (5, 20), (23, 25), (12, 12)]:
        own = padded[i + 7 : i + 10, j + 7 : j + 10]
        total, weights = np.zeros(3), 0.0
        for di in range(-2, 3):
            for dj in range(-2, 3):
                other = padded[i + 7 + di : i + 10 + di, j + 7 + dj : j + 10 + dj]
                distance = max(((own - other) ** 2).mean() - 2 * sigma**2, 0)
                weight = np.exp(-distance / (0.9 * sigma) ** 2) if (di, dj) != (0, 0) else 1.0
                total, weights = total + weight * padded[i + 8 + di, j + 8 + dj], weights + weight
        assert np.abs(made[i, j] - total / weights).max() < 1e-5


def test_total_variation_reaches_the_minimum_that_scikit_image_reaches(noisy: np.ndarray) -> None:
    image = noisy[:60, :70] / 255

    def energy(u: np.ndarray) -> float:
        down, across = np.zeros_like(u), np.zeros_like(u)
        down[:-1], across[:, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
        return float(((u - image) ** 2).sum() / 2 + 0.1 * np.sqrt(down**2 + across**2).sum())

    theirs = denoise_tv_chambolle(image, weight=0.1, eps=1e-9, max_num_iter=400, channel_axis=-1)
    ours = baselines.total_variation(image, weight=0.1, steps=400)
    assert energy(ours) == pytest.approx(energy(theirs), rel=1e-4)
    assert energy(baselines.total_variation(image, weight=0.1)) < 1.02 * energy(theirs), "thirty steps are nearly there"


def test_median_equals_scipy(noisy: np.ndarray) -> None:
    expected = np.stack([ndimage.median_filter(noisy[..., c], 5, mode="nearest") for c in range(3)], axis=2)
    assert np.abs(baselines.median(noisy / 255) * 255 - expected).max() < 1e-4


def test_bilateral_is_its_definition(noisy: np.ndarray) -> None:
    image = noisy[:20, :22] / 255
    sigma = 3 * noise_level(image).sigma
    made = baselines.bilateral(image)
    i, j = 9, 11
    shift = np.mgrid[-4:5, -4:5]
    near = (shift**2).sum(axis=0) <= 16
    patch = image[i - 4 : i + 5, j - 4 : j + 5]
    weight = np.exp(-(shift**2).sum(axis=0) / 18 - np.abs(patch - image[i, j]).sum(axis=2) ** 2 / (2 * sigma**2)) * near
    assert np.abs(made[i, j] - (weight[..., None] * patch).sum(axis=(0, 1)) / weight.sum()).max() < 1e-5


def test_bm3d_of_a_grey_picture_has_numbers(monkeypatch: pytest.MonkeyPatch, noisy: np.ndarray) -> None:
    """The package gives none for colour where a difference of channels is flat; each channel by itself it denoises."""
    package = ModuleType("bm3d")
    package.bm3d_rgb = lambda image, sigma: np.full_like(image, np.nan)  # type: ignore[attr-defined]
    package.bm3d = lambda channel, sigma: channel * 0.5  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bm3d", package)
    grey = np.repeat(noisy[..., :1] / 255, 3, axis=-1)
    assert np.array_equal(baselines.bm3d(grey, sigma=0.1), grey * 0.5)


def test_bm3d_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, noisy: np.ndarray) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(InputError, match="needs the package bm3d: pip install bm3d"):
        baselines.bm3d(noisy / 255)


@pytest.mark.slow
def test_bm3d_denoises_where_it_is_installed(photo: np.ndarray, noisy: np.ndarray) -> None:
    pytest.importorskip("bm3d", exc_type=ImportError)
    assert psnr(baselines.bm3d(noisy[:64, :64] / 255), photo[:64, :64]) > psnr(noisy[:64, :64], photo[:64, :64]) + 4
