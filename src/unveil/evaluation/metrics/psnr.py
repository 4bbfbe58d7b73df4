"""Peak signal-to-noise ratio, over the whole frame, a region, or after the brightness has been matched."""

from __future__ import annotations

from math import inf, log10
from typing import Any, Literal

import numpy as np

from unveil.evaluation.arrays import LUMA, Space, as_mask, as_pair, crop_border, to_space

Region = Literal["pixels", "frame"]


def psnr(
    prediction: Any,
    target: Any,
    *,
    space: Space = "rgb",
    border: int = 0,
    mask: Any = None,
    region: Region = "pixels",
    data_range: tuple[float, float] | None = None,
) -> float:
    """-10 log10 of the mean squared error of images in [0, 1], in dB; infinite for equal images.

    prediction, target: (H, W, 3) or (H, W), see `as_image` for types and ranges. space: RGB (one mean over all three channels)
    or luma. border: pixels left out on every side. mask: (H, W), true where it counts; with `region` = "pixels" the error is
    averaged over the region, with "frame" both images are blackened outside it and averaged over the whole frame, as the
    shadow-removal scripts do, which adds 10 log10(pixels of the frame / pixels of the region).
    Raises InputError for images that cannot be compared.
    """
    left, right = as_pair(prediction, target, data_range=data_range)
    error = (to_space(left, space) - to_space(right, space)) ** 2
    if mask is not None:
        inside = as_mask(mask, left.shape)
        inside, error = crop_border(inside, border), crop_border(error, border)
        kept = error[as_mask(inside, error.shape)]
        return decibel(float(kept.mean()) if region == "pixels" else float(kept.sum()) / error.size)
    return decibel(float(crop_border(error, border).mean()))


def decibel(mean_squared_error: float) -> float:
    """PSNR in dB of a mean squared error on [0, 1]; infinite at zero."""
    return inf if mean_squared_error == 0 else -10 * log10(mean_squared_error)


def match_mean(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The prediction times (mean grey of the target / its own mean grey), clipped to [0, 1]; grey is BT.601 luma.

    Both (H, W, 3) or (H, W), float64 in [0, 1]. A black prediction has nothing to scale and comes back as it is.
    """
    weights = LUMA if prediction.ndim == 3 else np.ones(1)
    own, wanted = (float((image.reshape(-1, len(weights)) @ weights).mean()) for image in (prediction, target))
    return prediction if own == 0 else np.clip(prediction * (wanted / own), 0.0, 1.0)


def psnr_mean_matched(
    prediction: Any,
    target: Any,
    *,
    space: Space = "rgb",
    border: int = 0,
    data_range: tuple[float, float] | None = None,
) -> float:
    """PSNR in dB after `match_mean`: what is left once global exposure is given away ("GT-mean" in low-light papers).

    It looks at the target, so it is an upper bound and never a result on its own. Arguments and errors as in `psnr`.
    """
    left, right = as_pair(prediction, target, data_range=data_range)
    return psnr(match_mean(left, right), right, space=space, border=border)
