"""A prior whose clean images are Gaussian, so that E[z_0 | z_t] and every posterior are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, variance_preserving

F64 = torch.float64


def ddpm(steps: int = 1000) -> GaussianPath:
    """DDPM's path: linear betas from 1e-4 to 0.02 over 1000 steps (20 / steps times as many for fewer)."""
    scale = 1000 / steps
    beta = torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=F64)
    return variance_preserving(torch.cumprod(1 - beta, 0))


@dataclass
class GaussianPrior:
    """Images (B, 3, h, w) ~ N(mean, Q diag(variance) Q^T), Q any orthonormal transform of images; implements Prior.

    mean, variance: (3, h, w), the latter in the basis. into, back: Q^T and Q on (B, 3, h, w); the identity unless given.
    """

    mean: Tensor
    variance: Tensor
    into: Callable[[Tensor], Tensor] = lambda x: x
    back: Callable[[Tensor], Tensor] = lambda c: c
    process: GaussianPath = field(default_factory=ddpm)
    name: str = "gaussian"
    sha256: str = "0" * 64
    channels: int = 3
    factor: int = 1
    multiple_of: int = 1
    native: int = 64
    prompted: bool = False
    evaluations: int = 0

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        """m + a C (a^2 C + s^2)^-1 (z_t - a m)."""
        self.evaluations += 1
        a, s = float(self.process.alpha[t]), float(self.process.sigma[t])
        mean, variance = self.mean.to(z_t), self.variance.to(z_t)
        return mean + self.back(a * variance / (a * a * variance + s * s) * self.into(z_t - a * mean))

    def condition(self, prompt: str, negative: str = "") -> Any:
        return None

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Clean images (count, 3, h, w)."""
        white = torch.randn(count, *self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.back(self.variance.sqrt() * white)


def dense(mean: Tensor, covariance: Tensor, **settings: Any) -> GaussianPrior:
    """The prior of small images with mean (3, h, w) and any covariance (d, d), d = 3 h w."""
    variance, basis = torch.linalg.eigh(covariance)

    def turn(matrix: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: (x.flatten(1) @ matrix.to(x)).view_as(x)

    return GaussianPrior(mean, variance.clamp(min=0).view_as(mean), turn(basis), turn(basis.T), **settings)


def matrix(linear: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
    """The matrix of a linear map of images of this shape (3, h, w), column by column."""
    count = int(torch.tensor(shape).prod())
    return linear(torch.eye(count, dtype=F64).view(count, *shape)).flatten(1).T


@dataclass
class Problem:
    """x0 ~ N(m, C), y = A x0 + sigma n, as vectors and matrices: what the samplers should do, and what each of them does."""

    m: Tensor
    C: Tensor
    A: Tensor
    y: Tensor
    sigma: float
    process: GaussianPath

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of x0 given y."""
        eye = torch.eye(len(self.A), dtype=F64)
        gain = self.C @ self.A.T @ torch.linalg.pinv(self.A @ self.C @ self.A.T + self.sigma**2 * eye)
        return self.m + gain @ (self.y - self.A @ self.m), self.C - gain @ self.A @ self.C

    def ideal(self, t: int) -> tuple[Tensor, Tensor]:
        """G (d, d) and h (d,) with E[x0 | x_t] = G x_t + h."""
        a, s = float(self.process.alpha[t]), float(self.process.sigma[t])
        G = a * self.C @ torch.linalg.inv(a * a * self.C + s * s * torch.eye(len(self.C), dtype=F64))
        return G, self.m - a * G @ self.m

    def start(self, n: int) -> tuple[Tensor, Tensor]:
        """Law of the state at index n: s_n eps around a_n A^T y / max(s)^2."""
        begin = self.A.T @ self.y / torch.linalg.matrix_norm(self.A, 2) ** 2
        return float(self.process.alpha[n]) * begin, float(self.process.sigma[n]) ** 2 * torch.eye(
            len(self.m), dtype=F64
        )

    def law(
        self, indices: list[int], move: Callable[[int, int], tuple[Tensor, Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """Exact mean and covariance of a sampler whose step is affine, x_u = F x_t + f + H n; move(t, u) -> F, f, H."""
        mean, covariance = self.start(indices[-1])
        for t, u in zip(indices[:0:-1], indices[-2::-1], strict=True):
            F, f, H = move(t, u)
            mean, covariance = F @ mean + f, F @ covariance @ F.T + H @ H.T
        return mean, covariance


def white(seed: int) -> Callable[[int, Tensor], Tensor]:
    """Noise for many paths at once, from one generator."""
    generator = torch.Generator().manual_seed(seed)
    return lambda index, like: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def agrees(samples: Tensor, mean: Tensor, covariance: Tensor, sigmas: float = 4.0) -> None:
    """Assert that samples (B, ...) have this mean and covariance within so many standard errors, element by element."""
    x = samples.flatten(1)
    count, variance = len(x), covariance.diagonal()
    floor = 1e-18  # where the law has no spread the samples have none but rounding
    assert ((x.mean(0) - mean).abs() <= sigmas * (variance / count).sqrt() + floor**0.5).all()
    error = ((torch.outer(variance, variance) + covariance**2) / count).sqrt()
    assert ((torch.cov(x.T) - covariance).abs() <= sigmas * error + floor).all()
