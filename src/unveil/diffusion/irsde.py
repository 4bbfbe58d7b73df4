"""What is IR-SDE's own (Luo et al., ICML 2023): its schedules of theta, the Euler steps of its SDE and ODE, and its training loss.

theta_t says how fast the path forgets the clean image (section 3). The published code counts T steps of one size dt and tabulates
theta at t = 0..T; all a path needs is the integral. The Euler steps (equations 6 and 7) serve as baselines of posterior sampling: they
discretise the drift where equation (2) of this package is exact given x0_hat, so they need small steps, and they go on after the point
where x0_hat itself could be returned. The loss is that of section 3.3, maximum likelihood learning.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError

SCHEDULES = ("cosine", "linear", "constant")


def theta(schedule: str, steps: int) -> Tensor:
    """(T + 1,) float64, theta_t before scaling, in (0, 1]; entry 0 is tabulated and never used.

    "cosine": 1 - abar with Nichol and Dhariwal's abar on a grid of T + 2 intervals, both ends left out (published
    networks use it); "linear": DDPM's betas stretched to T + 1 steps; "constant": 1. Raises InputError for another name
    or T < 1.
    """
    if steps < 1:
        raise InputError(f"a theta schedule needs at least one step, got {steps}")
    if schedule == "constant":
        return torch.ones(steps + 1, dtype=torch.float64)
    if schedule == "linear":
        scale = 1000 / (steps + 1)
        return torch.linspace(scale * 1e-4, scale * 0.02, steps + 1, dtype=torch.float64)
    if schedule == "cosine":
        u = torch.arange(steps + 3, dtype=torch.float64) / (steps + 2)
        abar = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        return 1 - (abar / abar[0])[1:-1]
    raise InputError(f"unknown theta schedule {schedule!r}; known are {', '.join(SCHEDULES)}")


def theta_sum(schedule: str, steps: int, eps: float = 0.005) -> Tensor:
    """(T + 1,) float64, the integral of theta from 0 to t, for `mean_reverting`: 0 at t = 0, -ln eps at t = T.

    eps: share of the clean image that is left at T; it fixes the size of a step, dt = -ln(eps) / sum(theta_1..T). The
    published settings say 0.005. Raises InputError unless 0 < eps < 1.
    """
    if not 0 < eps < 1:
        raise InputError(f"eps, the share of the clean image left at the start of sampling, lies in (0, 1); got {eps}")
    total = theta(schedule, steps).cumsum(0)
    total = total - total[0]
    return total * (-math.log(eps) / float(total[-1]))


def check(path: GaussianPath) -> None:
    """Raise InputError unless the forward drift is free of x0 (a = r), as in the mean-reverting and DDPM paths.

    On the residual path the drift itself depends on x0: an Euler step would need what it is to find.
    """
    if not torch.allclose(path.alpha, path.decay, rtol=0, atol=1e-9):
        raise InputError(
            f"the solvers sde and ode need a path whose drift is free of the clean image; {path.name} has none. "
            "Use ancestral, ddim or 2m, or a model on a mean-reverting path, such as wild."
        )


def noise_scale(path: GaussianPath, t: int | Tensor, like: Tensor) -> Tensor:
    """sigma_t sqrt(dt) of the step from t to t - 1, broadcast against `like` (B, C, H, W); t: an index or (B,)."""
    return (2 * _rate(path, t, like)).sqrt() * _stationary(path)


def euler(path: GaussianPath, t: int | Tensor, x_t: Tensor, x0_hat: Tensor, y: Tensor, *, share: float = 1.0) -> Tensor:
    """The mean of the Euler step from t to t - 1: x - (theta (y - x) - share sigma^2 score) dt, all (B, C, H, W).

    share: 1 for the reverse SDE (add `noise_scale` times z for a draw), 1/2 for the probability-flow ODE. The score is
    -eps_hat / s_t with the noise that x0_hat implies. Valid for processes that pass `check`.
    """
    a, b, s = (path.at(c, t, x_t) for c in (path.alpha, path.beta, path.sigma))
    rate = _rate(path, t, x_t)
    centre = y if bool(path.beta.any()) else torch.zeros_like(y)
    noise = (x_t - a * x0_hat - b * y) / s
    return x_t - rate * (centre - x_t) - share * 2 * _stationary(path) ** 2 * rate * noise / s


def _rate(path: GaussianPath, t: int | Tensor, like: Tensor) -> Tensor:
    """theta_t dt = -ln A[t|t-1], in float64 before it is made like `like`: near t = 0 both logarithms are almost 0."""
    log = path.decay.log()
    return path.at(-log.diff(prepend=log[:1]), t, like)


def _stationary(path: GaussianPath) -> float:
    """Standard deviation that the noise tends to: s_t = stationary sqrt(1 - r_t^2)."""
    return float(path.sigma[-1] / (1 - path.decay[-1] ** 2).sqrt())


def optimum(path: GaussianPath, t: Tensor, x_t: Tensor, x0: Tensor, y: Tensor) -> Tensor:
    """E[x_{t-1} | x_t, x0, y], where the best reverse step leads (equation 14). t: (B,) >= 1; the rest (B, C, H, W)."""
    a_u, b_u, s_u, r_u = (path.at(c, t - 1, x_t) for c in (path.alpha, path.beta, path.sigma, path.decay))
    a, b, s, r = (path.at(c, t, x_t) for c in (path.alpha, path.beta, path.sigma, path.decay))
    return a_u * x0 + b_u * y + r / r_u * (s_u / s) ** 2 * (x_t - a * x0 - b * y)


def matching_loss(
    path: GaussianPath, t: Tensor, x_t: Tensor, y: Tensor, x0: Tensor, eps_hat: Tensor, norm: str = "l1"
) -> Tensor:
    """Distance between the reverse SDE's mean and the optimum, averaged over everything; a scalar.

    path: the trained grid of a mean-reverting path. t: (B,) indices >= 1. eps_hat: (B, C, H, W), the noise that the
    network predicts in x_t. norm: "l1" (published) or "l2". Both means are linear in the noise, so this is a distance
    between noises weighted by 2 stationary^2 theta_t dt / s_t: the last steps, which move little, weigh little. Raises
    InputError for another norm, or a path whose drift is not free of x0.
    """
    if norm not in ("l1", "l2"):
        raise InputError(f"the matching loss has the norms l1 and l2, not {norm!r}")
    check(path)
    a, b, s = (path.at(c, t, x_t) for c in (path.alpha, path.beta, path.sigma))
    x0_hat = (x_t - b * y - s * eps_hat) / a
    error = euler(path, t, x_t, x0_hat, y) - optimum(path, t, x_t, x0, y)
    return error.abs().mean() if norm == "l1" else error.square().mean()
