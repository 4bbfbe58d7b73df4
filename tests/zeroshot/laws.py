"""The samplers' own laws on a Gaussian prior, written from the papers with dense matrices, not from the package."""

from __future__ import annotations

import math

import torch
from gaussian import F64, Problem, ddpm
from torch import Tensor

Move = tuple[Tensor, Tensor, Tensor]

# The grey axis of colours, and two across it.
AXES = torch.tensor([[1, 1, 1], [1, -1, 0], [1, 1, -2]], dtype=F64)
AXES /= AXES.norm(dim=1, keepdim=True)


def pixel(path: int = 1000) -> Problem:
    """The toy of docs/known_operators.md: one pixel seen in grey, so that the measurement is one number.

    The prior's axes are grey and two colours: only grey is pulled, and what is not seen does not depend on it.
    """
    m = torch.tensor([0.1, -0.2, 0.3], dtype=F64)
    C = AXES.T @ torch.diag(torch.tensor([0.25, 0.1, 0.05], dtype=F64)) @ AXES
    return Problem(m, C, torch.full((1, 3), 1 / 3, dtype=F64), torch.tensor([0.35], dtype=F64), 0.1, ddpm(path))


def ddim(p: Problem, t: int, u: int, eta: float, x0: tuple[Tensor, Tensor]) -> Move:
    """x_u = a_u x0 + sqrt(s_u^2 - eta^2) (x_t - a_t x0) / s_t + eta n with x0 = G x_t + h."""
    (G, h), eye = x0, torch.eye(len(p.m), dtype=F64)
    a, s = p.process.alpha.tolist(), p.process.sigma.tolist()
    keep = math.sqrt(max(s[u] ** 2 - eta**2, 0.0)) / s[t]
    return a[u] * G + keep * (eye - a[t] * G), (a[u] - keep * a[t]) * h, eta * eye


def posterior_eta(p: Problem, t: int, u: int) -> float:
    """DDPM's sqrt(beta_tilde): beta_t|u s_u^2 / s_t^2 under the root."""
    a, s = p.process.alpha.tolist(), p.process.sigma.tolist()
    return math.sqrt(max((1 - (a[t] / a[u]) ** 2) * s[u] ** 2 / s[t] ** 2, 0.0))


def exact(p: Problem, indices: list[int]) -> tuple[Tensor, Tensor]:
    """Ancestral sampling with E[x0 | x_t, y]: the prior of the posterior, so to speak."""
    mean, covariance = p.posterior()
    q = Problem(mean, covariance, p.A, p.y, p.sigma, p.process)
    return p.law(indices, lambda t, u: ddim(p, t, u, posterior_eta(p, t, u), q.ideal(t)))


def pigdm(p: Problem, indices: list[int], variance: float = 1.0) -> tuple[Tensor, Tensor]:
    """x0 + (s^2 / a) J^T A^T (r^2 A A^T + sigma^2)^-1 (y - A x0), ancestral."""

    def move(t: int, u: int) -> Move:
        a, s = float(p.process.alpha[t]), float(p.process.sigma[t])
        G, h = p.ideal(t)
        r2 = variance * s * s / (variance * a * a + s * s)
        K = s * s / a * G.T @ p.A.T @ torch.linalg.pinv(r2 * p.A @ p.A.T + p.sigma**2 * torch.eye(len(p.A), dtype=F64))
        return ddim(p, t, u, posterior_eta(p, t, u), (G - K @ p.A @ G, h + K @ (p.y - p.A @ h)))

    return p.law(indices, move)


def diffpir(p: Problem, indices: list[int], weight: float, zeta: float) -> tuple[Tensor, Tensor]:
    """(A^T A + rho)^-1 (A^T y + rho x0_hat), then re-noised with share zeta of fresh noise. sigma > 0."""

    def move(t: int, u: int) -> Move:
        a, s = float(p.process.alpha[t]), float(p.process.sigma[t])
        G, h = p.ideal(t)
        rho = weight * p.sigma**2 * a * a / (s * s)
        fit = torch.linalg.inv(p.A.T @ p.A + rho * torch.eye(len(p.m), dtype=F64))
        x0 = (rho * fit @ G, fit @ (p.A.T @ p.y + rho * h))
        return ddim(p, t, u, math.sqrt(zeta) * float(p.process.sigma[u]), x0)

    return p.law(indices, move)


def gdp(p: Problem, indices: list[int], weight: float) -> tuple[Tensor, Tensor]:
    """The ancestral step, less 1 - (1 - w)^k of A^T (A x0_hat - y) / |A|^2."""
    per_step = 1000 / p.process.steps

    def move(t: int, u: int) -> Move:
        G, h = p.ideal(t)
        F, f, H = ddim(p, t, u, posterior_eta(p, t, u), (G, h))
        w = (1 - (1 - weight) ** (per_step * (t - u))) / torch.linalg.matrix_norm(p.A, 2) ** 2
        return F - w * p.A.T @ p.A @ G, f - w * p.A.T @ (p.A @ h - p.y), H

    return p.law(indices, move)


def ddrm(p: Problem, indices: list[int], eta: float = 0.85, eta_b: float = 1.0) -> tuple[Tensor, Tensor]:
    """The three branches, for each right singular vector of A (found numerically)."""
    U, s, Vt = torch.linalg.svd(p.A)
    d = len(p.m)
    s = torch.cat([s, torch.zeros(d - len(s), dtype=F64)])
    reading = torch.zeros(d, dtype=F64)
    reading[: len(U)] = U.T @ p.y

    def move(t: int, u: int) -> Move:
        a, level = p.process.alpha.tolist(), p.process.sigma.tolist()
        sigma = level[u] / a[u]
        G, h = (Vt @ part for part in p.ideal(t))
        E, e = (Vt - a[t] * G) / level[t], -a[t] * h / level[t]  # the noise that x0_hat leaves over
        F, f, H = torch.zeros(d, d, dtype=F64), torch.zeros(d, dtype=F64), torch.zeros(d, d, dtype=F64)
        keep = math.sqrt(1 - eta**2)
        for i in range(d):
            if s[i] < 1e-9:
                F[i], f[i] = G[i] + keep * sigma * E[i], h[i] + keep * sigma * e[i]
                H[i] = eta * sigma * Vt[i]
            elif s[i] * sigma < p.sigma:
                part = keep * sigma / p.sigma
                F[i], f[i] = (1 - part * s[i]) * G[i], h[i] + part * (reading[i] - s[i] * h[i])
                H[i] = eta * sigma * Vt[i]
            else:
                F[i] = (1 - eta_b) * G[i]
                f[i] = eta_b * reading[i] / s[i] + (1 - eta_b) * h[i]
                H[i] = math.sqrt(sigma**2 - float(p.sigma / s[i] * eta_b) ** 2) * Vt[i]
        return a[u] * Vt.T @ F, a[u] * Vt.T @ f, a[u] * Vt.T @ H

    return p.law(indices, move)


def dps(p: Problem, indices: list[int], axis: Tensor, zeta: float, points: int = 16384) -> tuple[float, float, float]:
    """Mean, variance and fourth central moment along `axis`, an eigenvector of C that A, a single row, is parallel to.

    The state there is moved by a piecewise affine map and blurred by a Gaussian. Its density is carried through on a
    grid: mass is dealt out to the two nearest points (mean kept, variance wrong by under spacing^2 / 4), then blurred exactly.
    """
    mu, v, scale, y = float(axis @ p.m), float(axis @ p.C @ axis), float(p.A[0] @ axis), float(p.y[0])
    a, s = p.process.alpha.tolist(), p.process.sigma.tolist()
    width = 8.0
    grid = torch.linspace(-width, width, points + 1, dtype=F64)[:-1]
    wave = 2 * math.pi * torch.fft.rfftfreq(points, 2 * width / points, dtype=F64)
    start, spread = p.start(indices[-1])
    mass = torch.exp(-0.5 * (grid - float(axis @ start)) ** 2 / float(axis @ spread @ axis))
    mass /= mass.sum()
    moved = grid
    for t, u in zip(indices[:0:-1], indices[-2::-1], strict=True):
        G = a[t] * v / (a[t] ** 2 * v + s[t] ** 2)
        x0 = mu + G * (grid - a[t] * mu)
        eta = posterior_eta(p, t, u)
        keep = math.sqrt(max(s[u] ** 2 - eta**2, 0.0)) / s[t]
        k = 1000 / p.process.steps * (t - u)
        moved = a[u] * x0 + keep * (grid - a[t] * x0) + zeta * k * scale * G * torch.sign(y - scale * x0)
        if u == 0:
            break
        place = ((moved + width) / (2 * width) * points).clamp(0, points - 1.001)
        low = place.floor()
        share = place - low
        dealt = torch.zeros(points, dtype=F64)
        dealt.index_add_(0, low.long(), mass * (1 - share)).index_add_(0, low.long() + 1, mass * share)
        mass = torch.fft.irfft(torch.fft.rfft(dealt) * torch.exp(-0.5 * (wave * eta) ** 2), n=points)
    mean = float(mass @ moved)
    return mean, float(mass @ (moved - mean) ** 2), float(mass @ (moved - mean) ** 4)
