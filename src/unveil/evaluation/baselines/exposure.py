"""Global brightness and colour corrections. Each takes and gives an image (H, W, 3), float64 in [0, 1]."""

from __future__ import annotations

import numpy as np

TARGET_MEAN = 0.45


def stretch(image: np.ndarray, low: float = 1.0, high: float = 99.0) -> np.ndarray:
    """Linear stretch that sends the `low` and `high` percentile of all values, channels together, to 0 and 1."""
    black, white = np.percentile(image, [low, high])
    return image if white <= black else np.clip((image - black) / (white - black), 0.0, 1.0)


def stretch_channels(image: np.ndarray, low: float = 1.0, high: float = 99.0) -> np.ndarray:
    """`stretch` of each channel by itself, which also shifts the colour balance."""
    return np.stack([stretch(image[..., c], low, high) for c in range(image.shape[-1])], axis=-1)


def divide_by_percentile(image: np.ndarray, percentile: float = 99.0) -> np.ndarray:
    """The image divided by a percentile of all its values, so that it becomes white."""
    white = np.percentile(image, percentile)
    return image if white == 0 else np.clip(image / white, 0.0, 1.0)


def grey_world(image: np.ndarray) -> np.ndarray:
    """Channels scaled to one common mean (Buchsbaum 1980)."""
    means = image.mean(axis=(0, 1))
    return image if means.min() == 0 else np.clip(image * (means.mean() / means), 0.0, 1.0)


def gain(image: np.ndarray, mean: float = TARGET_MEAN) -> np.ndarray:
    """One factor on all values that brings their mean, before clipping, to `mean`."""
    own = image.mean()
    return image if own == 0 else np.clip(image * (mean / own), 0.0, 1.0)


def gamma(image: np.ndarray, mean: float = TARGET_MEAN) -> np.ndarray:
    """The power that brings the mean of all values to `mean`, found by bisection; black and white stay where they are."""
    lower, upper = -6.0, 6.0  # the exponent's logarithm to base 2
    for _ in range(50):
        middle = (lower + upper) / 2
        # A larger exponent darkens.
        lower, upper = (middle, upper) if (image**2.0**middle).mean() > mean else (lower, middle)
    return image**2.0 ** ((lower + upper) / 2)
