"""A photograph as a measurement: its operator, the sizes that the prior needs, and how noisy it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.errors import InputError
from unveil.networks.predictor import pad_to_multiple
from unveil.photo.noise_level import noise_level
from unveil.zeroshot.operators import Operator, parse
from unveil.zeroshot.priors import Prior

# Rounding to 8 bits is noise too: a step of 2/255 in [-1, 1], spread evenly.
ROUNDING = 2 / 255 / 12**0.5
_NORMAL_MEDIAN = 0.6744897501960817  # median of |x| for a standard normal x
_FEWEST = 64  # pixels that a noise level can be told from


@dataclass(frozen=True, eq=False)
class Measurement:
    """y = A x + sigma n.

    kind: the operator's. y: as A gives it, (B, C, h, w) in [-1, 1]. sigma: (B, 1, 1, 1), on that range.
    size: (H, W) of the image wanted; what the operator's images have beyond it is reflection and cut off in the end.
    """

    kind: str
    operator: Operator
    y: Tensor
    sigma: Tensor
    size: tuple[int, int]

    def crop(self, image: Tensor) -> Tensor:
        """(B, 3, ., .) -> (B, 3, H, W)."""
        return image[..., : self.size[0], : self.size[1]]


def measured(prior: Prior, y: Tensor, operator: str, noise: float | None) -> Measurement:
    """A picture y (B, 3, H, W) in [-1, 1] as the measurement of `operator` (a text), padded as the prior needs it.

    noise: standard deviation of y's noise on images in [0, 1] (so sigma = 2 noise), or None to estimate it, for each
    image. Raises InputError for a wrong shape or range, an unknown operator, or a mask too sparse to estimate from.
    """
    if y.ndim != 4 or y.shape[1] != 3 or 0 in y.shape or not bool(torch.isfinite(y).all()):
        raise InputError(f"a photograph must be finite and of shape (B, 3, H, W), got {tuple(y.shape)}")
    if noise is not None and not 0 <= noise < 1:
        raise InputError(f"noise is a standard deviation on images in [0, 1], got {noise}")
    y = y.clone()  # a tensor made in inference mode cannot take part in a gradient; its copy can
    recipe = parse(operator)
    height, width = int(y.shape[-2]), int(y.shape[-1])
    padded = pad_to_multiple(y, side_multiple(prior.multiple_of, recipe.factor))
    built = recipe.build(padded, (height, width))
    if noise is None:
        seen = None if built.seen is None else built.seen[..., :height, :width]
        sigma = estimate(y, seen) if seen is not None else level(y)
    else:
        sigma = torch.full((len(y), 1, 1, 1), 2.0 * noise).to(y)
    size = (height * recipe.factor, width * recipe.factor)
    return Measurement(recipe.kind, built, built.take(padded), sigma, size)


def side_multiple(multiple: int, factor: int) -> int:
    """What the sides of a measurement must be multiples of, so that `factor` times them are multiples of `multiple`."""
    return multiple // math.gcd(multiple, factor)


def level(y: Tensor) -> Tensor:
    """Standard deviation of the noise in y (B, C, H, W) in [-1, 1], (B, 1, 1, 1), also where neighbouring pixels share it.

    Cameras, JPEG and reductions leave noise that second differences hardly see (`estimate`); where whole flat blocks vary by more
    (`photo.noise_level`), theirs is taken. The methods assume white noise all the same: this gives them its size, not its shape.
    """
    sigma = estimate(y)
    for k, image in enumerate(y.detach().double().cpu()):
        found = noise_level((image.permute(1, 2, 0).numpy() + 1) / 2)
        if found.correlated:
            sigma[k] = sigma[k].clamp(min=2 * found.sigma)
    return sigma


def estimate(y: Tensor, seen: Tensor | None = None) -> Tensor:
    """Standard deviation of white noise in y (B, C, H, W), (B, 1, 1, 1); at least what rounding to 8 bits makes.

    Immerkaer's second-difference mask (CVIU 1996), blind to planes and to straight edges along the axes, whose answer to
    white noise has 6 times its deviation; the median of its size in place of the mean, so that texture counts less.
    seen: (1, 1, H, W), 1 where a pixel was measured; neighbourhoods with a hole do not count.
    """
    rows = torch.tensor([1.0, -2.0, 1.0]).to(y)
    if min(y.shape[-2:]) < 3:
        raise InputError("a photograph under 3 pixels does not tell how noisy it is; give the noise level")
    weight = (rows[:, None] * rows).expand(y.shape[1], 1, 3, 3)
    found = F.conv2d(y, weight, groups=y.shape[1]).abs()
    if seen is not None:
        whole = -F.max_pool2d(-seen, 3, 1) > 0.5
        if int(whole.sum()) < _FEWEST:
            raise InputError(
                "the mask leaves too few whole neighbourhoods to tell the noise from; give the noise level"
            )
        found = found[..., whole[0, 0]]
    sigma = found.flatten(1).median(1).values / (6 * _NORMAL_MEDIAN)
    return sigma.clamp(min=ROUNDING).view(-1, 1, 1, 1)
