"""Shape and deviation of samples by their first two absolute moments, differentiable without unrolling the solver."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.zeroshot.upzeroir.ggd import SHAPES, SMALLEST, log_ratio, log_ratio_slope

_ITERATIONS = 8


@dataclass(frozen=True, eq=False)
class Fit:
    """Mean, standard deviation and shape of a group of samples each, all of one shape (...)."""

    mean: Tensor
    sigma: Tensor
    alpha: Tensor


def shape_of(ratio: Tensor) -> Tensor:
    """The shape alpha whose (E|x|)^2 / E x^2 is `ratio`, held to `SHAPES`; any shape, fp32 or fp64.

    Newton's method in ln alpha. The gradient is the implicit function's, d ln alpha / d ln ratio = 1 / slope, and zero where the
    shape is held (3/4 and more, a sample in two lumps, has no solution).
    """
    ends = log_ratio(ratio.new_tensor(SHAPES))
    wanted = ratio.log().clamp(float(ends[0]), float(ends[1]))
    low, high = (float(v) for v in ratio.new_tensor(SHAPES).log())
    with torch.no_grad():
        u = torch.zeros_like(wanted)
        for _ in range(_ITERATIONS):
            alpha = u.exp()
            u = (u + ((wanted - log_ratio(alpha)) / log_ratio_slope(alpha)).clamp(-1, 1)).clamp(low, high)
        alpha = u.exp()
        slope, reached = log_ratio_slope(alpha), log_ratio(alpha)
    # One step more, which moves the value by rounding only, is the implicit derivative: constants at the root, linear in `wanted`.
    return (u + (wanted - reached) / slope).exp()


def fit(x: Tensor, centred: bool = True) -> Fit:
    """A generalised Gaussian of every group: x (..., n) -> mean, sigma, alpha (...); in fp32 at least.

    centred: about the group's own mean; otherwise about 0, and the mean reported is 0. Differentiable in x; a group without spread has
    the smallest sigma, a held shape and no gradient.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = x.mean(-1) if centred else x.new_zeros(x.shape[:-1])
    deviation = x - mean.unsqueeze(-1)
    square = (deviation**2).mean(-1).clamp(min=SMALLEST**2)
    # The ratio is at most 1 and, for a flat group, 0: its logarithm must exist.
    ratio = (deviation.abs().mean(-1) ** 2 / square).clamp(min=1e-6)
    return Fit(mean, square.sqrt(), shape_of(ratio))
