"""What the light did to a photograph, told by a linear law.

A network that learned haze and low light from simulated photographs leans on what a simulator leaves behind (the noise of the dark, the
smoothness of a veil) and overlooks real ones without it. How bright, how saturated and how rich in contrast a photograph is, near and
far, is the same in both, and so is what a restorer that knows real pairs makes of it. A linear law of such numbers is too poor to lean
on anything else.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.networks import counting
from unveil.networks.blocks import zeroed

SIDE = 256
"""Long side of the reduced photograph that is measured, in pixels."""
QUANTILES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
MEASURES = 5 * len(QUANTILES) + 10
"""Numbers that `measures` returns."""
JUDGED = ("haze", "lowlight")
"""Kinds of damage that the law speaks of. (What tells a shadow from a dark thing is not in such numbers: docs/choices.md.)"""
_WINDOW, _STRIDE = 9, 4


def measures(image: Tensor) -> Tensor:
    """(MEASURES,) numbers of a photograph (3, H, W) in [0, 1], H, W >= 1.

    Quantiles of luminance, of the largest channel, of the dark channel (the smallest channel's least value in windows of 9 pixels: He, Sun,
    Tang, "Single image haze removal using dark channel prior", CVPR 2009), of saturation, and of luminance's deviation in such windows;
    then mean and deviation of luminance, means of saturation and of the dark channel, the mean deviation where the dark channel is high and
    where it is low, the dark channel's mean in the upper and in the lower half, and its correlation with deviation and with saturation.
    """
    x = _reduced(image).numpy()
    light = 0.2126 * x[0] + 0.7152 * x[1] + 0.0722 * x[2]
    most, least = np.maximum(np.maximum(x[0], x[1]), x[2]), np.minimum(np.minimum(x[0], x[1]), x[2])
    saturation = (most - least) / np.maximum(most, np.float32(0.02))
    side = (min(_WINDOW, x.shape[1]), min(_WINDOW, x.shape[2]))
    dark = -counting.greatest(-least, side, _STRIDE)
    vivid = counting.greatest(saturation, side, _STRIDE)
    mean, square = counting.means(np.stack([light, light * light]), side, _STRIDE)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    veiled = dark > counting.median(dark)
    middle = (dark.shape[0] + 1) // 2
    rest = [
        light.mean(), light.std(), saturation.mean(), dark.mean(),
        _mean(deviation[veiled], deviation), _mean(deviation[~veiled], deviation),
        dark[:middle].mean(), _mean(dark[middle:], dark), _correlation(dark, deviation), _correlation(dark, vivid),
    ]  # fmt: skip
    spread = [counting.quantiles(v, QUANTILES) for v in (light, most, dark, saturation, deviation)]
    return torch.from_numpy(np.concatenate([*spread, np.array(rest, np.float32)]))


def _reduced(image: Tensor) -> Tensor:
    """(3, h, w) with SIDE as its long side."""
    scale = SIDE / max(image.shape[-2:])
    size = [max(1, round(n * scale)) for n in image.shape[-2:]]
    if size == list(image.shape[-2:]):
        return image
    return F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]


def _mean(chosen: np.ndarray, otherwise: np.ndarray) -> np.floating:
    return chosen.mean() if chosen.size else otherwise.mean()


def _correlation(a: np.ndarray, b: np.ndarray) -> np.floating:
    a, b = a - a.mean(), b - b.mean()
    return (a * b).mean() / np.maximum(np.sqrt((a * a).mean() * (b * b).mean()), 1e-6)


class LightLaw(nn.Module):
    """Logits of the kinds in JUDGED. Weights are fitted by recipes/fit_classifier.py; new ones say 0, which is one half.

    numbers: how many it reads: what a restorer was asked, which takes longest to find, and then what is known without it. known: how many
    of the last of them are; a second law of these alone tells when the restorer need not be asked. 0 for no such law.
    """

    centre: Tensor
    scale: Tensor
    least: Tensor

    def __init__(self, numbers: int, known: int = 0) -> None:
        super().__init__()
        self.layer = zeroed(nn.Linear(numbers, len(JUDGED)))
        self.first = zeroed(nn.Linear(known, len(JUDGED))) if known else None
        self.register_buffer("centre", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        if known:
            self.register_buffer("least", torch.full((len(JUDGED),), -torch.inf))

    def standard(self, numbers: Tensor) -> Tensor:
        """(B, N) in units of their usual deviations from their usual values, none of them far out. N: all numbers, or the last ones."""
        count = numbers.shape[1]
        return ((numbers - self.centre[-count:]) / self.scale[-count:]).clamp(-5, 5)

    def forward(self, numbers: Tensor) -> Tensor:
        """Logits (B, len(JUDGED)) from numbers (B, N)."""
        return self.layer(self.standard(numbers))

    def settled(self, known: Tensor) -> Tensor | None:
        """Logits (1, len(JUDGED)) where what is known (1, N) leaves no doubt that there is none of these kinds; else the restorer must say.

        No doubt: each is below `least`, under which hardly any photograph lies that the whole law would have treated.
        """
        if self.first is None:
            return None
        said = self.first(self.standard(known))
        return said if bool((said < self.least).all()) else None
