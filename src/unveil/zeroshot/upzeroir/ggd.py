"""The generalised Gaussian: density, Kullback-Leibler divergence and moments (mathematics, section 7).

p(x) = alpha / (2 a G(1/alpha)) exp(-(|x - mu| / a)^alpha) with shape alpha (1 is Laplace's law, 2 the Gaussian, large ones are nearly
uniform), scale a and standard deviation sigma = a sqrt(G(3/alpha) / G(1/alpha)). Everything is computed in logarithms, so that no
Gamma function overflows.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
