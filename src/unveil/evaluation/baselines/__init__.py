"""What costs nothing: classical corrections that a restoration method has to beat before its numbers mean anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image
from unveil.evaluation.baselines import clahe, denoise, exposure, haze, lowlight

Operation = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Baseline:
    """A correction without training or target. title: how tables call it; note: what it does and its parameters."""

    name: str
    title: str
    operation: Operation
    note: str

    def __call__(self, image: Any) -> np.ndarray:
        """The corrected image, float64 in [0, 1], (H, W, 3); image: (H, W[, 3]), see `as_image`."""
        array = as_image(image)
        rgb = array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)
        return self.operation(rgb)


def _identity(image: np.ndarray) -> np.ndarray:
    return image


def _then(first: Operation, second: Operation) -> Operation:
    return lambda image: second(first(image))


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("identity", "input", _identity, "nothing is done"),
        Baseline("stretch", "stretch 1-99", exposure.stretch, "1st and 99th percentile of all values to 0 and 1"),
        Baseline("stretch-channels", "stretch 1-99 per channel", exposure.stretch_channels, "the same, channels apart"),
        Baseline("divide99", "divide by 99th percentile", exposure.divide_by_percentile, "of all values"),
        Baseline("grey-world", "grey world", exposure.grey_world, "channel means made equal"),
        Baseline("gain", "gain to mean .45", exposure.gain, "one factor on all values"),
        Baseline("gamma", "gamma to mean .45", exposure.gamma, "one power on all values"),
        Baseline("clahe", "CLAHE", clahe.clahe, "lightness, clip limit 2, 8x8 tiles"),
        Baseline("dark-channel", "dark channel w=.95", haze.dark_channel, "15x15 patches, guided filter of radius 40"),
        Baseline("dark-channel-80", "dark channel w=.8", partial(haze.dark_channel, strength=0.8), "the same, milder"),
        Baseline("dark-channel-inverted", "inverted dark channel w=.8", haze.dark_channel_inverted, "on the negative"),
        Baseline("lime-like", "LIME-like", lowlight.lime_like, "largest channel, closed, guided filter, power .8"),
        Baseline("nlm", "non-local means", denoise.non_local_means, "3x3 patches, 13x13 window, h = .8 sigma, blind"),
        Baseline("tv", "total variation", denoise.total_variation, "weight 1.2 sigma, blind"),
        Baseline("median", "median 5x5", denoise.median, "each channel"),
        Baseline("bilateral", "bilateral", denoise.bilateral, "radius 4, colour 3 sigma, space 3 pixels, blind"),
        Baseline("bm3d", "BM3D", denoise.bm3d, "blind; needs the package bm3d"),
        Baseline(
            "gamma-nlm", "non-local means after gamma", _then(exposure.gamma, denoise.non_local_means), "both above"
        ),
        Baseline(
            "nlm-gamma", "gamma after non-local means", _then(denoise.non_local_means, exposure.gamma), "both above"
        ),
    )
}


def get_baseline(name: str) -> Baseline:
    """The baseline of that name. Raises InputError, naming those there are, for another name."""
    if name not in BASELINES:
        raise InputError(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")
    return BASELINES[name]
