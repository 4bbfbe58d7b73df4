"""The numbers that others measured with these baselines on the same photographs, reproduced within 0.1 dB.

Some of them beat published zero-shot restorers, which is why they have to stand in every table.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from unveil.evaluation.arrays import as_image, round_to
from unveil.evaluation.baselines import BASELINES
from unveil.evaluation.metrics.classical import psnr, psnr_mean_matched, ssim
from unveil.evaluation.reading import match_folders, read_image

pytestmark = pytest.mark.shared

# set, baseline, PSNR, SSIM (RGB), PSNR after mean matching; None where it was not given, or does not follow from the same
# recipe to three digits.
# Non-local means, and total variation on PolyU, are not among them: theirs were off-centre patches, and an estimate that misses most of
# a camera's noise.
MEASURED = [
    ("LOL", "identity", 7.78, 0.194, 19.56),
    ("LOL", "stretch", 17.28, 0.611, 19.18),
    ("LOL", "divide99", 17.38, None, None),
    ("LOL", "grey-world", 7.75, 0.197, 18.52),
    ("LOL", "gain", 16.26, 0.615, 19.78),
    ("LOL", "gamma", 16.62, 0.723, 20.58),
    ("LOL", "dark-channel-inverted", 11.54, 0.525, 19.00),
    ("LOL", "lime-like", 18.08, None, 21.38),
    ("HSTS", "identity", 14.74, 0.751, None),
    ("HSTS", "stretch", 24.70, 0.887, None),
    ("HSTS", "stretch-channels", 22.75, None, None),
    ("HSTS", "gamma", 21.82, 0.848, None),
    ("HSTS", "dark-channel-80", 20.83, 0.846, None),
    ("HSTS", "dark-channel", 17.85, 0.821, None),
    ("HSTS", "gain", 15.68, 0.740, None),
    ("HSTS", "clahe", 14.83, 0.748, None),
    ("HSTS", "grey-world", 14.60, 0.749, None),
    ("Kodak24", "identity", 26.35, 0.619, None),
]
SLOW = [
    ("Kodak24", "tv", 29.40, 0.821, None),
    ("Kodak24", "bilateral", 31.35, 0.853, None),
    ("Kodak24", "median", 25.84, 0.685, None),
]
NATIVE = [
    ("LOL_eval15", "identity", 7.77, 0.195, 18.78),
    ("LOL_eval15", "stretch", 16.10, 0.474, 18.67),
    ("LOL_eval15", "gamma", 16.04, 0.627, 19.66),
    ("LOL_eval15", "lime-like", 17.04, 0.490, 19.95),
    ("LOL_eval15", "dark-channel-inverted", 11.38, 0.447, 18.45),
    ("PolyU_100", "median", 36.25, 0.946, None),
]
NATIVE_FOLDERS = {
    "LOL_eval15": ("low", "high", "", ""),
    "PolyU_100": ("noisy", "clean", "_real", "_mean"),
}


METRICS = (psnr, ssim, psnr_mean_matched)


@cache
def means(shared: Path, images: str, baseline: str, wanted: tuple[int, ...]) -> dict[int, float]:
    """Means over a set of the wanted ones of METRICS, by their place there; results are rounded to 8 bit."""
    if images in NATIVE_FOLDERS:
        folder = shared / "data" / "test" / images
        left, right, *suffixes = NATIVE_FOLDERS[images]
    else:
        folder, left, right, suffixes = shared / "data/test/tao256" / f"{images}_256x256", "degraded", "clean", ["", ""]
    pairs = match_folders(folder / left, folder / right, prediction_suffix=suffixes[0], target_suffix=suffixes[1]).pairs
    scores: dict[int, list[float]] = {i: [] for i in wanted}
    for pair in pairs:
        target = as_image(read_image(pair.target).pixels)
        made = round_to(BASELINES[baseline](read_image(pair.prediction).pixels), "8bit")
        for i in wanted:
            scores[i].append(METRICS[i](made, target))
    return {i: float(np.mean(values)) for i, values in scores.items()}


def check(shared: Path, images: str, baseline: str, *expected: float | None) -> None:
    found = means(shared, images, baseline, tuple(i for i, value in enumerate(expected) if value is not None))
    for i, value in found.items():
        assert value == pytest.approx(expected[i], abs=(0.1, 0.005, 0.1)[i]), METRICS[i].__name__


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row[0]}-{row[1]}")
def test_on_the_small_sets(shared: Path, row: tuple) -> None:
    check(shared, *row)


@pytest.mark.slow
@pytest.mark.parametrize("row", [*SLOW, *NATIVE], ids=lambda row: f"{row[0]}-{row[1]}")
def test_on_more_and_larger_photographs(shared: Path, row: tuple) -> None:
    check(shared, *row)


@pytest.mark.parametrize(
    ("images", "baseline", "zero_shot"),
    [("HSTS", "stretch", 21.51), ("Kodak24", "nlm", 28.60)],
    ids=["HSTS", "Kodak24"],
)
def test_two_cheap_baselines_beat_the_printed_zero_shot_results(
    shared: Path, images: str, baseline: str, zero_shot: float
) -> None:
    """On these pairs a stretch and non-local means score higher than what the zero-shot papers print for their methods."""
    from unveil.evaluation.published import published_numbers

    printed = [n.value for n in published_numbers(dataset=images, metric="psnr")]
    assert max(printed) == zero_shot
    assert means(shared, images, baseline, (0, 1))[0] > zero_shot + 2.5
