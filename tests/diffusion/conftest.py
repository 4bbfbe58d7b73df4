"""Toys whose posterior, predictor and sampler are known in closed form, and the paths that they are sampled along."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unveil.diffusion import (
    GaussianPath,
    cosine_pro,
    cubic,
    linear_pro,
    mean_reverting,
    rectified_flow,
    residual,
    sample,
    variance_exploding,
    variance_preserving,
)

F64 = torch.float64
Denoiser = Callable[[Tensor, Tensor, int], Tensor]


def cumulative() -> GaussianPath:
    """RDDM's path as a bare table: noise and residual are added up, and A = 1."""
    b = torch.linspace(0, 1, 11, dtype=F64)
    return GaussianPath("rddm", 1 - b, b, b.sqrt(), torch.ones_like(b), torch.arange(11, dtype=F64) - 1)


def ddpm(steps: int) -> Tensor:
    """Cumulative alphas of DDPM's linear betas over 1000 steps, at `steps` of them."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=F64), 0)[1000 // steps - 1 :: 1000 // steps]


PATHS: dict[str, Callable[[], GaussianPath]] = {
    "residual linear_pro(12)": lambda: residual(linear_pro(12)),
    "residual linear_pro(22), not truncated": lambda: residual(linear_pro(22)),
    "residual cosine_pro(10)": lambda: residual(cosine_pro(10)),
    "residual cubic(5)": lambda: residual(cubic(5)),
    "mean reverting": lambda: mean_reverting(torch.linspace(0, -math.log(0.005), 21, dtype=F64)),
    "variance preserving": lambda: variance_preserving(ddpm(20)),
    "RDDM": cumulative,
    "variance exploding": lambda: variance_exploding(torch.linspace(-4, 1, 20, dtype=F64).exp()),
    "rectified flow": lambda: rectified_flow((torch.arange(20, dtype=F64) + 0.5) / 20),
    "variance exploding, in unit variance": lambda: variance_exploding(
        torch.linspace(-4, 1, 20, dtype=F64).exp()
    ).unit(),
}


@pytest.fixture(params=PATHS)
def process(request: pytest.FixtureRequest) -> GaussianPath:
    """Every kind of path, one after another."""
    return PATHS[request.param]()


@pytest.fixture
def path() -> Callable[[str], GaussianPath]:
    """One of them by its name."""
    return lambda name: PATHS[name]()


@dataclass(frozen=True)
class Gaussian:
    """x0 ~ N(m, S) and y = K x0 + c + n with n ~ N(0, R), in d dimensions: the channels of a 1 x 1 image."""

    m: Tensor
    S: Tensor
    K: Tensor
    c: Tensor
    R: Tensor
    y: Tensor

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of x0 given y."""
        gain = self.S @ self.K.T @ torch.linalg.inv(self.K @ self.S @ self.K.T + self.R)
        return self.m + gain @ (self.y - self.K @ self.m - self.c), self.S - gain @ self.K @ self.S

    def gain(self, process: GaussianPath, t: int) -> Tensor:
        """G with E[x0 | x_t, y] = M + G (x_t - a M - b y)."""
        _, V = self.posterior()
        a, s = float(process.alpha[t]), float(process.sigma[t])
        return a * V @ torch.linalg.inv(a * a * V + s * s * torch.eye(len(V), dtype=F64))

    def predictor(self, process: GaussianPath) -> Denoiser:
        """The ideal denoiser: E[x0 | x_t, y]."""
        M = self.posterior()[0][:, None, None]

        def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
            rest = x - float(process.alpha[t]) * M - float(process.beta[t]) * y
            return M + torch.einsum("ij,bjhw->bihw", self.gain(process, t), rest)

        return denoise

    def images(self, count: int) -> Tensor:
        """y as (count, d, 1, 1)."""
        return self.y[:, None, None].expand(count, -1, 1, 1)

    def law(self, process: GaussianPath, solver: str, fidelity: float = 0.0) -> tuple[Tensor, Tensor]:
        """Exact mean (d,) and covariance (d, d) of what the ideal predictor's sampler returns.

        Every state is an affine function of the noises drawn; its matrix (d, 1 + draws d) is carried through the steps,
        written here from the textbook (conditioning of a joint Gaussian, DDIM, DPM-Solver++ 2M), not from the package.
        """
        p, n, d = process, process.steps, len(self.y)
        M, eye = self.posterior()[0], torch.eye(len(self.y), dtype=F64)
        a, b, s = ([float(v) for v in table] for table in (p.alpha, p.beta, p.sigma))

        def constant(v: Tensor) -> Tensor:
            return torch.cat([v[:, None], torch.zeros(d, n * d, dtype=F64)], 1)

        def draw(k: int) -> Tensor:
            out = torch.zeros(d, 1 + n * d, dtype=F64)
            out[:, 1 + k * d : 1 + (k + 1) * d] = (1 - fidelity) * eye
            return out

        x, y, estimates = constant((a[n] + b[n]) * self.y) + s[n] * draw(0), constant(self.y), []
        for t in range(n, 0, -1):
            u = t - 1
            x0 = constant(M) + self.gain(p, t) @ (x - a[t] * constant(M) - b[t] * y)
            estimates.append(x0)
            if u == 0:
                break
            if solver == "2m" and len(estimates) > 2:
                before, here, after = (math.log(a[i] / s[i]) for i in (t + 1, t, u))
                x0 = x0 + 0.5 * (after - here) / (here - before) * (x0 - estimates[-2])
            rest = x - a[t] * x0 - b[t] * y
            joint = {"ancestral": float(p.decay[t] / p.decay[u]) * s[u] ** 2, "renoise": 0.0}.get(solver, s[u] * s[t])
            fresh = max(s[u] ** 2 - joint**2 / s[t] ** 2, 0.0) ** 0.5
            x = a[u] * x0 + b[u] * y + joint / s[t] ** 2 * rest + fresh * draw(n - u)
        return x0[:, 0], x0[:, 1:] @ x0[:, 1:].T


@pytest.fixture
def scalar() -> Gaussian:
    """The toy of docs/mathematics.md: y = 0.5, posterior mean 0.42, variance 0.05."""
    m, S, K, c, R, y = (torch.tensor(v, dtype=F64) for v in (0.3, 0.1, 1.0, -0.04, 0.1, 0.5))
    return Gaussian(m[None], S[None, None], K[None, None], c[None], R[None, None], y[None])


@pytest.fixture
def vector() -> Gaussian:
    """Three correlated channels of which y mixes two and does not see the third."""
    generator = torch.Generator().manual_seed(3)
    root, noise = torch.randn(2, 3, 3, generator=generator, dtype=F64)
    K = torch.tensor([[0.8, 0.2, 0.0], [0.1, 0.7, 0.0], [0.0, 0.0, 0.0]], dtype=F64)
    m, c, y = (torch.tensor(v, dtype=F64) for v in ([0.1, -0.2, 0.3], [0.3, 0.2, 0.4], [0.6, 0.1, 0.35]))
    return Gaussian(m, 0.1 * root @ root.T, K, c, 0.02 * noise @ noise.T + 0.01 * torch.eye(3, dtype=F64), y)


@dataclass(frozen=True)
class Mixture:
    """A posterior of two Gaussians in one dimension: weights w, means M, variances V, each (2,)."""

    w: Tensor
    M: Tensor
    V: Tensor
    y: float
    boundary: float

    def predictor(self, process: GaussianPath) -> Denoiser:
        """E[x0 | x_t, y]: the two conjugate means, weighted by how likely each mode made x_t."""

        def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
            a, s = float(process.alpha[t]), float(process.sigma[t])
            modes = []
            for w, M, V in zip(self.w.tolist(), self.M.tolist(), self.V.tolist(), strict=True):
                variance = a * a * V + s * s
                rest = x - float(process.beta[t]) * y - a * M
                modes.append((math.log(w / variance**0.5) - 0.5 / variance * rest**2, M + a * V / variance * rest))
            (log_lower, lower), (log_upper, upper) = modes
            return lower + torch.sigmoid(log_upper - log_lower) * (upper - lower)

        return denoise

    def upper(self, boundary: float | None = None) -> float:
        """Exact posterior probability of x0 above a boundary, by default the one between the modes."""
        above = self.boundary if boundary is None else boundary
        return float((self.w * 0.5 * torch.erfc((above - self.M) / (2 * self.V).sqrt())).sum())

    def share(self, process: GaussianPath, solver: str) -> float:
        """What share of an infinity of samples lies above the boundary, without drawing any."""
        return self.shares(process, solver, self.boundary)[0]

    def shares(self, process: GaussianPath, solver: str, *boundaries: float) -> list[float]:
        """The same above each of several boundaries; the cell that holds one counts in part."""
        x0, mass = self._ancestral(process) if solver == "ancestral" else self._deterministic(process, solver)
        width = torch.gradient(x0)[0]
        return [float((mass * ((x0 - above) / width + 0.5).clamp(0, 1)).sum()) for above in boundaries]

    def _deterministic(self, process: GaussianPath, solver: str, count: int = 10_001) -> tuple[Tensor, Tensor]:
        """Results at the quantiles of the one draw."""
        quantiles = torch.special.ndtri((torch.arange(count, dtype=F64) + 0.5) / count)[:, None, None, None]
        y = torch.full_like(quantiles, self.y)
        out = sample(self.predictor(process), y, process, lambda index, like: quantiles, solver=solver)
        return out.flatten(), torch.full((count,), 1 / count, dtype=F64)

    def _ancestral(self, process: GaussianPath, count: int = 1501) -> tuple[Tensor, Tensor]:
        """The density of the state carried through on a grid."""
        a, b, s = ([float(v) for v in table] for table in (process.alpha, process.beta, process.sigma))
        unit = torch.linspace(-1, 1, count, dtype=F64)
        grids = [b[t] * self.y + unit * (1.4 * abs(a[t]) + 6 * s[t]) for t in range(process.steps + 1)]
        y = torch.full((count,), self.y, dtype=F64)
        n = process.steps
        mass = torch.softmax(-0.5 * ((grids[n] - (a[n] + b[n]) * self.y) / s[n]) ** 2, 0)
        for t in range(n, 1, -1):
            u = t - 1
            x0 = self.predictor(process)(grids[t], y, t)
            cover = process.ratio(t, u) * s[u] ** 2
            mean = a[u] * x0 + b[u] * self.y + cover / s[t] ** 2 * (grids[t] - a[t] * x0 - b[t] * self.y)
            variance = s[u] ** 2 - cover**2 / s[t] ** 2
            move = torch.exp(-0.5 * (grids[u][None] - mean[:, None]) ** 2 / variance)
            mass = mass @ (move / move.sum(1, keepdim=True))
        return self.predictor(process)(grids[1], y, 1), mass


@pytest.fixture
def mixture() -> Mixture:
    """Prior 0.8 N(-0.5, 0.1^2) + 0.2 N(0.5, 0.15^2), y = x0 + n with sd 0.6, y = 0."""
    w, M, V = (torch.tensor(v, dtype=F64) for v in ([0.8, 0.2], [-0.5, 0.5], [0.1**2, 0.15**2]))
    noise, y = 0.36, 0.0
    evidence = w * torch.exp(-0.5 * (y - M) ** 2 / (V + noise)) / (V + noise).sqrt()
    gain = V / (V + noise)
    return Mixture(evidence / evidence.sum(), M + gain * (y - M), V * (1 - gain), y, boundary=0.0)


@pytest.fixture
def white() -> Callable[[int], Callable[[int, Tensor], Tensor]]:
    """white(seed): noise for many paths at once, from one generator."""

    def make(seed: int) -> Callable[[int, Tensor], Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return lambda index, like: torch.randn(like.shape, generator=generator, dtype=like.dtype)

    return make


@pytest.fixture
def images() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """images(height, width, batch, dtype) -> x0, y in [-1, 1] and eps."""

    def draw(
        height: int = 5, width: int = 7, batch: int = 2, dtype: torch.dtype = F64
    ) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * height + width)
        x0, y = 2 * torch.rand(2, batch, 3, height, width, generator=generator, dtype=dtype) - 1
        return x0, y, torch.randn(batch, 3, height, width, generator=generator, dtype=dtype)

    return draw


@pytest.fixture
def golden(shared: Path) -> Callable[[str], dict[str, Tensor]]:
    """golden(name): the tensors of one golden file."""
    return lambda name: load_file(shared / "golden" / f"{name}.safetensors")
