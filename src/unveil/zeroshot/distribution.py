"""Degradation as a shift of the distribution of latents: the laws of groups of latents, and how far apart two images are by them.

The generalised Gaussian (mathematics, section 7), p(x) = alpha / (2 a G(1/alpha)) exp(-(|x - mu| / a)^alpha) with shape alpha (1 is
Laplace's law, 2 the Gaussian, large ones are nearly uniform), scale a and standard deviation sigma = a sqrt(G(3/alpha) / G(1/alpha)).
Everything is computed in logarithms, so that no Gamma function overflows. Shape and deviation of samples come from their first two
absolute moments, differentiable without unrolling the solver; DegLoss is the divergence of two such laws.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.util.words import check_known

SHAPES = (0.2, 8.0)
"""Shapes that are told apart: below the moments explode, above the law is a box whose shape no sample determines."""

SMALLEST = 1e-4
"""Standard deviations below count as this one: a flat channel stays finite."""


def log_scale(alpha: Tensor, sigma: Tensor) -> Tensor:
    """ln a of the law with shape alpha > 0 and standard deviation sigma > 0, any shapes that broadcast."""
    return sigma.log() + (torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)) / 2


def kl(alpha1: Tensor, sigma1: Tensor, alpha2: Tensor, sigma2: Tensor) -> Tensor:
    """KL(p1 || p2) >= 0 of two centred laws, in nats (mathematics, equation 6); all broadcast, differentiable in all four.

    It reaches 1e5 and more where p1 is wide and p2 has light tails: bound it before a gradient step uses it.
    """
    log_a1, log_a2 = log_scale(alpha1, sigma1), log_scale(alpha2, sigma2)
    log_gamma1 = torch.lgamma(1 / alpha1)
    # E_1 (|x| / a2)^alpha2; its counterpart under p1's own scale is 1 / alpha1.
    log_moment = alpha2 * (log_a1 - log_a2) + torch.lgamma((alpha2 + 1) / alpha1) - log_gamma1
    log_norms = alpha1.log() - alpha2.log() + log_a2 - log_a1 + torch.lgamma(1 / alpha2) - log_gamma1
    return log_norms + log_moment.exp() - 1 / alpha1


def log_ratio(alpha: Tensor) -> Tensor:
    """ln of (E|x|)^2 / E x^2 = G(2/alpha)^2 / (G(1/alpha) G(3/alpha)), which rises with alpha: 1/2 at 1, 2/pi at 2, below 3/4."""
    return 2 * torch.lgamma(2 / alpha) - torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)


def log_ratio_slope(alpha: Tensor) -> Tensor:
    """d log_ratio / d ln alpha, positive."""
    return (torch.digamma(1 / alpha) + 3 * torch.digamma(3 / alpha) - 4 * torch.digamma(2 / alpha)) / alpha


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


GROUPINGS = ("channel", "pooled", "patch")
LOCATIONS = ("shift", "ignore", "zero")
DIRECTIONS = ("forward", "reverse", "symmetric")
BOUNDS = ("log1p", "none")
PATCH = 8


def grouped(z: Tensor, grouping: str) -> Tensor:
    """Latents (B, C, h, w) as groups of samples (B, G, n), one law each.

    "channel": G = C. "pooled": one law for all. "patch": 8 x 8 tiles of every channel, what does not fill one being left out; where
    the latents are smaller than a tile, the same as "channel".
    """
    check_known("grouping", grouping, GROUPINGS)
    if grouping == "pooled":
        return z.flatten(1).unsqueeze(1)
    if grouping == "channel" or min(z.shape[-2:]) < PATCH:
        return z.flatten(2)
    tiles = z.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    return tiles.reshape(z.shape[0], -1, PATCH * PATCH)


def laws(z: Tensor, grouping: str = "channel", location: str = "shift") -> Fit:
    """The generalised Gaussians of latents (B, C, h, w): mean, sigma and alpha (B, G) each."""
    check_known("location", location, LOCATIONS)
    return fit(grouped(z, grouping), centred=location != "zero")


def divergence(p: Fit, q: Fit, location: str = "shift") -> Tensor:
    """KL(p || q) of every group, (B, G).

    location "shift" adds (mu_p - mu_q)^2 / (2 sigma_q^2) to the centred laws' divergence: exact where q is Gaussian, and where it is
    not the Gaussian's answer, since no closed form exists.
    """
    value = kl(p.alpha, p.sigma, q.alpha, q.sigma)
    return value + (p.mean - q.mean) ** 2 / (2 * q.sigma**2) if location == "shift" else value


def deg_loss(
    z_phi: Tensor,
    target: Fit,
    *,
    grouping: str = "channel",
    location: str = "shift",
    direction: str = "forward",
    bound: str = "log1p",
) -> Tensor:
    """J_deg of re-degraded latents z_phi (B, C, h, w) against the laws of the photograph's latents: (B,), 0 where they agree.

    target: `laws` of the photograph's latents with the same grouping and location.
    direction: "forward" KL(z_phi || z_lq), "reverse", or "symmetric" (their mean).
    bound: "log1p" takes ln(1 + KL) of every group, with the same minimum and a slope that cannot explode; "none" the KL itself.
    Its gradient in a group of z_phi is c1 sign(z - mu) + c2 (z - mu) + c3: it knows no place in the image.
    """
    check_known("direction", direction, DIRECTIONS)
    check_known("bound", bound, BOUNDS)
    own = laws(z_phi, grouping, location)
    forward = divergence(own, target, location) if direction != "reverse" else None
    reverse = divergence(target, own, location) if direction != "forward" else None
    value = sum(v for v in (forward, reverse) if v is not None) / (2 if direction == "symmetric" else 1)
    value = torch.as_tensor(value).clamp(min=0)  # rounding alone can make it negative
    return (value.log1p() if bound == "log1p" else value).mean(1)
