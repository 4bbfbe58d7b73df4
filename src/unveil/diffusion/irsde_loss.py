"""The loss that IR-SDE's networks were trained with (Luo et al., ICML 2023, section 3.3: maximum likelihood learning)."""

from __future__ import annotations

from torch import Tensor

from unveil.diffusion.euler import check, euler
from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError


def optimum(process: GaussianPath, t: Tensor, x_t: Tensor, x0: Tensor, y: Tensor) -> Tensor:
    """E[x_{t-1} | x_t, x0, y], where the best reverse step leads (equation 14). t: (B,) >= 1; the rest (B, C, H, W)."""
    a_u, b_u, s_u, r_u = (
        process.at(c, t - 1, x_t) for c in (process.alpha, process.beta, process.sigma, process.decay)
    )
    a, b, s, r = (process.at(c, t, x_t) for c in (process.alpha, process.beta, process.sigma, process.decay))
    return a_u * x0 + b_u * y + r / r_u * (s_u / s) ** 2 * (x_t - a * x0 - b * y)


def matching_loss(
    process: GaussianPath, t: Tensor, x_t: Tensor, y: Tensor, x0: Tensor, eps_hat: Tensor, norm: str = "l1"
) -> Tensor:
    """Distance between the reverse SDE's mean and the optimum, averaged over everything; a scalar.

    process: the trained grid of a mean-reverting path. t: (B,) indices >= 1. eps_hat: (B, C, H, W), the noise that the
    network predicts in x_t. norm: "l1" (published) or "l2". Both means are linear in the noise, so this is a distance
    between noises weighted by 2 stationary^2 theta_t dt / s_t: the last steps, which move little, weigh little. Raises
    InputError for another norm, or a path whose drift is not free of x0.
    """
    if norm not in ("l1", "l2"):
        raise InputError(f"the matching loss has the norms l1 and l2, not {norm!r}")
    check(process)
    a, b, s = (process.at(c, t, x_t) for c in (process.alpha, process.beta, process.sigma))
    x0_hat = (x_t - b * y - s * eps_hat) / a
    error = euler(process, t, x_t, x0_hat, y) - optimum(process, t, x_t, x0, y)
    return error.abs().mean() if norm == "l1" else error.square().mean()
