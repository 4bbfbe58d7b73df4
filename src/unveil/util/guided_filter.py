"""The guided filter (He, Sun and Tang, "Guided image filtering", TPAMI 2013), for any kind of pixels and windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Pixels = TypeVar("Pixels")
"""An array or a tensor: only arithmetic is used."""


def linear_law(guide: Pixels, image: Pixels, mean: Callable[[Pixels], Pixels], edge: float) -> tuple[Pixels, Pixels]:
    """The a and b with which image is locally a * guide + b: least squares in each window, averaged over the windows. Equations 5, 6 and
    8.

    mean: over each pixel's window. edge: variance of the guide within a window from which its edges are followed.
    """
    mean_guide, mean_image = mean(guide), mean(image)
    covariance = mean(guide * image) - mean_guide * mean_image  # type: ignore[operator]
    a = covariance / (mean(guide * guide) - mean_guide * mean_guide + edge)  # type: ignore[operator]
    return mean(a), mean(mean_image - a * mean_guide)  # type: ignore[operator]
