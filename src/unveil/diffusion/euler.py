"""Euler steps of the reverse SDE and of its ODE: IR-SDE's own samplers, here as the baselines of posterior sampling.

Luo et al., ICML 2023, equations 6 and 7. They discretise the drift where equation (2) of this package is exact given
x0_hat, so they need small steps, and they walk on where the network's x0_hat could be taken at its word.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError


def check(process: GaussianPath) -> None:
    """Raise InputError unless the forward drift is free of x0 (a = r), as in the mean-reverting and DDPM paths.

    On the residual path the drift itself depends on x0: an Euler step would need what it is to find.
    """
    if not torch.allclose(process.alpha, process.decay, rtol=0, atol=1e-9):
        raise InputError(
            f"the solvers sde and ode need a path whose drift is free of the clean image; {process.name} has none. "
            "Use ancestral, ddim or 2m, or a model on a mean-reverting path, such as wild."
        )


def noise_scale(process: GaussianPath, t: int | Tensor, like: Tensor) -> Tensor:
    """sigma_t sqrt(dt) of the step from t to t - 1, broadcast against `like` (B, C, H, W); t: an index or (B,)."""
    return (2 * _rate(process, t, like)).sqrt() * _stationary(process)


def euler(
    process: GaussianPath, t: int | Tensor, x_t: Tensor, x0_hat: Tensor, y: Tensor, *, share: float = 1.0
) -> Tensor:
    """The mean of the Euler step from t to t - 1: x - (theta (y - x) - share sigma^2 score) dt, all (B, C, H, W).

    share: 1 for the reverse SDE (add `noise_scale` times z for a draw), 1/2 for the probability-flow ODE. The score is
    -eps_hat / s_t with the noise that x0_hat implies. Valid for processes that pass `check`.
    """
    a, b, s = (process.at(c, t, x_t) for c in (process.alpha, process.beta, process.sigma))
    rate = _rate(process, t, x_t)
    centre = y if bool(process.beta.any()) else torch.zeros_like(y)
    noise = (x_t - a * x0_hat - b * y) / s
    return x_t - rate * (centre - x_t) - share * 2 * _stationary(process) ** 2 * rate * noise / s


def _rate(process: GaussianPath, t: int | Tensor, like: Tensor) -> Tensor:
    """theta_t dt = -ln A[t|t-1], in float64 before it is made like `like`: near t = 0 both logarithms are almost 0."""
    log = process.decay.log()
    return process.at(-log.diff(prepend=log[:1]), t, like)


def _stationary(process: GaussianPath) -> float:
    """Standard deviation that the noise tends to: s_t = stationary sqrt(1 - r_t^2)."""
    return float(process.sigma[-1] / (1 - process.decay[-1] ** 2).sqrt())
