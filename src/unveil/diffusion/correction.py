"""DPSC: the learned correction of the reverse step (LearnIR section 3.2), as a shift of x0_hat.

LearnIR subtracts mu from the mean of the reverse step, x_u = m_pred - mu + noise. That mean is affine in x0_hat with
coefficient c (`leverage`), so subtracting mu is the ordinary step of the predictor shifted by mu / c: a corrected
predictor, which every solver, grid and resolution takes without knowing. All targets here are such shifts.
"""

from __future__ import annotations

from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.diffusion.prediction import from_x0
from unveil.errors import InputError

TARGETS = ("on_policy", "posterior", "forward", "eq51")


def leverage(path: GaussianPath, t: int, u: int, eta: float) -> float:
    """c = d m_pred / d x0_hat = a_u - sqrt(s_u^2 - eta^2) a_t / s_t of the step from t to u."""
    keep = max(float(path.sigma[u]) ** 2 - eta**2, 0.0) ** 0.5
    return float(path.alpha[u]) - keep * float(path.alpha[t]) / float(path.sigma[t])


def posterior_mean(path: GaussianPath, t: int, u: int, x_t: Tensor, x0: Tensor, y: Tensor) -> Tensor:
    """E[x_u | x_t, x0, y], the mean of the ancestral step. All (B, C, H, W)."""
    keep = max(float(path.sigma[u]) ** 2 - path.ancestral(t, u) ** 2, 0.0) ** 0.5
    noise = (x_t - float(path.alpha[t]) * x0 - float(path.beta[t]) * y) / float(path.sigma[t])
    return float(path.alpha[u]) * x0 + float(path.beta[u]) * y + keep * noise


def eq51(path: GaussianPath, t: int, x_t: Tensor, y: Tensor, eps_res: Tensor) -> Tensor:
    """mu as LearnIR's Eq. 51 prints it, for the residual path and u = t - 1. Degenerate; kept to show that it is.

    Subtracted from the reverse mean it cancels eps_res exactly and leaves (2 sqrt(abar_u) - 1) / sqrt(abar_t) x_t +
    (1 - sqrt(abar_u)) y, whatever the denoiser says.
    """
    r_t, r_u = float(path.decay[t]), float(path.decay[t - 1])
    alpha = path.ratio(t, t - 1) ** 2
    scale = (1 - alpha) / (alpha * (1 - r_t**2)) ** 0.5
    return (1 / alpha**0.5 - (2 * r_u - 1) / r_t) * x_t - (1 - r_u) * y - scale * eps_res


def shift_target(
    kind: str, path: GaussianPath, t: int, x_t: Tensor, y: Tensor, x0_hat: Tensor, x0: Tensor, eps: Tensor
) -> Tensor:
    """The shift of x0_hat whose ancestral step from t to t - 1 equals m_pred - mu, for the named target of mu.

    "posterior" and "on_policy": mu = m_pred - E[x_u | x_t, x0, y], so the shift is the predictor's own error
    x0_hat - x0 (the two differ in where x_t comes from). "forward": mu = m_pred - (a_u x0 + b_u y + s_u eps) with the eps of x_t.
    "eq51": the printed closed form. x0_hat must be detached, and the path be the trained grid, not a subset of it.
    Raises InputError for another name.
    """
    if kind in ("posterior", "on_policy"):
        return x0_hat - x0
    if kind not in TARGETS:
        raise InputError(f"unknown correction target {kind!r}; known are {', '.join(TARGETS)}")
    u = t - 1
    c = leverage(path, t, u, path.ancestral(t, u))
    mean = posterior_mean(path, t, u, x_t, x0_hat, y)
    if kind == "forward":
        return (mean - (float(path.alpha[u]) * x0 + float(path.beta[u]) * y + float(path.sigma[u]) * eps)) / c
    return eq51(path, t, x_t, y, from_x0("residual_noise", path, t, x0_hat, x_t, y)) / c
