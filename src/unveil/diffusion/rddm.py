"""RDDM's path as one more table (Liu et al., CVPR 2024): residual and noise are added up, nothing is ever scaled down."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError

SHAPES = ("decreased", "increased", "average")


def shares(shape: str, steps: int) -> Tensor:
    """(T,) float64 that sum to 1: what each step adds of the residual (its alpha_t) or of the noise variance (beta_t^2).

    "increased": t over 1 + ... + T; "decreased": the same from the other end; "average": 1 / T. Published restoration
    networks have decreased alphas and increased variances. Raises InputError for another name or T < 1.
    """
    if steps < 1:
        raise InputError(f"a schedule needs at least one step, got {steps}")
    if shape == "average":
        return torch.full((steps,), 1 / steps, dtype=torch.float64)
    if shape not in SHAPES:
        raise InputError(f"unknown shape of the steps {shape!r}; known are {', '.join(SHAPES)}")
    rising = torch.arange(1, steps + 1, dtype=torch.float64) / (steps * (steps + 1) / 2)
    return rising if shape == "increased" else rising.flip(0)


def rddm(alpha: Tensor, variance: Tensor, total: float = 0.01) -> GaussianPath:
    """x_t = x0 + abar_t (y - x0) + bbar_t eps, on images in [-1, 1]; the Markov ratio A is 1.

    alpha, variance: (T,) shares that sum to 1, as of `shares`. total: variance of the noise at T ("sum_scale"; 0.01 for
    the published restoration networks, 1 for raindrops and generation). Networks are told t - 1.
    """
    zero = torch.zeros(1, dtype=torch.float64)
    left = torch.cat([zero, alpha.double().cumsum(0)])
    s = torch.cat([zero, total * variance.double().cumsum(0)]).sqrt()
    index = torch.arange(len(left), dtype=torch.float64)
    return GaussianPath(f"rddm/{len(alpha)}", 1 - left, left, s, torch.ones_like(left), index - 1)


def from_both(path: GaussianPath, t: int, residual: Tensor, eps: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    """The x0_hat whose deterministic step from t to t - 1 is RDDM's own for two free predictions (its Eq. 12, no noise).

    Networks that predict residual and noise apart say one thing too many: x_t already ties the two. The official step
    follows both, x_u = x_t - (abar_t - abar_u) residual - (bbar_t - bbar_u) eps, and this is the one x0_hat that leads
    there by eta = 0 ("ddim"). Into the clean end it is the official x0_hat = x_t - abar residual - bbar eps itself.
    """
    a, b, s = (float(c[t]) for c in (path.alpha, path.beta, path.sigma))
    a_u, b_u, s_u = (float(c[t - 1]) for c in (path.alpha, path.beta, path.sigma))
    keep = s_u / s
    x_u = x_t - (b - b_u) * residual - (s - s_u) * eps
    return (x_u - b_u * y - keep * (x_t - b * y)) / (a_u - keep * a)
