"""Judges: what scores an estimate without a reference, so that refinement knows when to stop and what to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unveil.networks.padding import reflected

Judge = Callable[[Tensor], float]
"""(image (1, 3, H, W) in [0, 1]) -> a score, higher is better, about 0 to 1; NaN where it has no opinion."""


def from_distance(distance: Callable[[Any], float], typical: float = 3.0, smallest: int = 96) -> Judge:
    """A judge from a measure of which less is better, such as a naturalness: typical / (typical + distance).

    distance: of an image (H, W, 3) in [0, 1] as a numpy array, 0 upwards. typical: its value for a clean photograph, which scores
    1/2; around it a step of 0.01 in the score is one of 4 % in the distance. smallest: sides in pixels below which the image is
    continued by reflection, for a measure that takes patches of that size.
    """

    def judge(image: Tensor) -> float:
        for dim in (-2, -1):
            if image.shape[dim] < smallest:
                image = image.index_select(dim, reflected(image.shape[dim], smallest, image.device))
        return typical / (typical + distance(image[0].permute(1, 2, 0).float().cpu().numpy()))

    return judge
