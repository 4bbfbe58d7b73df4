"""The affine Gaussian path x_t = a_t x0 + b_t y + s_t eps that every method of this package samples along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unveil.diffusion.schedule import Schedule
from unveil.errors import InputError, note, renamed

_STRIP = 64
"""Rows added at a time: new memory for a whole photograph takes longer than the sum."""
_RENAMED = {"a": "alpha", "b": "beta", "s": "sigma", "r": "decay", "time": "timestep", "evenly": "respaced"}


@dataclass(frozen=True, eq=False)
class GaussianPath:
    """A table of coefficients, index 0 = clean (alpha = 1, beta = 0, sigma = 0), last index = the start of sampling.

    Args:
        name: For messages and saved configurations.
        alpha: (N + 1,) float64, a_t, the weight of the clean image.
        beta: (N + 1,) float64, b_t, the weight of the degraded image.
        sigma: (N + 1,) float64, s_t, the weight of unit noise.
        decay: (N + 1,) float64, r_t, from 1 on; the Markov ratio is A[t|u] = r_t / r_u.
        timestep: (N + 1,) float64, what a network takes as time: the noise level, or a published network's index.
        before: (N + 1,) float64, the decay one step before each index on the trained grid; None where that is this grid.

    """

    name: str
    alpha: Tensor
    beta: Tensor
    sigma: Tensor
    decay: Tensor
    timestep: Tensor
    before: Tensor | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The names of 0.1, which go in 0.2."""
            return renamed(self, name, _RENAMED)

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return len(self.alpha) - 1

    def ratio(self, t: int, u: int) -> float:
        """A[t|u] for u <= t: given x0 and y, x_t - m_t = A[t|u] (x_u - m_u) + fresh noise with m = a x0 + b y."""
        return float(self.decay[t] / self.decay[u])

    def trained_ratio(self, t: int) -> float:
        """A[t|t-1], t >= 1, for the step of the trained grid that ends at t: a subset keeps it."""
        return float(self.decay[t] / (self.decay[t - 1] if self.before is None else self.before[t]))

    def forward(self, x0: Tensor, y: Tensor, t: int | Tensor, eps: Tensor | None) -> Tensor:
        """Draw x_t = a_t x0 + b_t y + s_t eps. x0, y, eps: (B, C, H, W), eps None for no noise; t: an index, or (B,) indices."""
        a, b = (self.at(c, t, x0) for c in (self.alpha, self.beta))
        mean = a * x0
        for top in range(0, mean.shape[-2], _STRIP):
            rows = ..., slice(top, top + _STRIP), slice(None)
            mean[rows] += b * y[rows]
        return mean if eps is None else mean + self.at(self.sigma, t, x0) * eps

    def start(self, y: Tensor, eps: Tensor | None) -> Tensor:
        """The state at the last index with y standing in for the unknown x0: (a + b) y + s eps (LearnIR Eq. 4); eps None for no noise."""
        n = self.steps
        mean = float(self.alpha[n] + self.beta[n]) * y
        return mean if eps is None else mean + float(self.sigma[n]) * eps

    def ancestral(self, t: int, u: int) -> float:
        """eta of the exact posterior q(x_u | x_t, x0, y): sqrt(s_u^2 - (A s_u^2 / s_t)^2)."""
        s_t, s_u = float(self.sigma[t]), float(self.sigma[u])
        return max(s_u**2 - (self.ratio(t, u) * s_u**2 / s_t) ** 2, 0.0) ** 0.5

    def subset(self, indices: list[int]) -> GaussianPath:
        """The same path on fewer indices (ascending, first 0, two or more): marginals stay those that were trained."""
        if len(indices) < 2 or indices[0] != 0 or sorted(set(indices)) != indices or indices[-1] > self.steps:
            raise InputError(f"a subset of steps must ascend from 0 within 0..{self.steps}, got {indices}")
        pick = torch.tensor(indices)
        before = torch.cat([self.decay[:1], self.decay[:-1]]) if self.before is None else self.before
        return GaussianPath(
            self.name, *(c[pick] for c in (self.alpha, self.beta, self.sigma, self.decay, self.timestep, before))
        )

    def uniform_timesteps(self, steps: int, start: float = 1.0) -> list[int]:
        """`steps` steps spread evenly over the first share `start` of the path: ascending indices from 0.

        Raises InputError for fewer than one step, or more than that share has.
        """
        last = round(start * self.steps)
        if not 1 <= steps <= last:
            raise InputError(f"steps must be between 1 and {last} for {self.name}, got {steps}")
        return [round(i * last / steps) for i in range(steps + 1)]

    def respaced(self, steps: int) -> GaussianPath:
        """The path on `steps` evenly spread steps, both ends kept. Raises InputError above the number of trained ones."""
        return self.subset(self.uniform_timesteps(steps))

    def unit(self) -> GaussianPath:
        """The same path with its states divided by sqrt(a^2 + s^2), so that a^2 + s^2 = 1: variance-preserving where b = 0.

        Paths that ignore y differ in nothing but the unit of their states; what is written for one then holds for all.
        """
        c = (self.alpha**2 + self.sigma**2).sqrt()
        if self.before is not None:
            raise InputError("take the unit path first and its subset then")
        return GaussianPath(
            f"{self.name}, unit", self.alpha / c, self.beta / c, self.sigma / c, self.decay / c, self.timestep
        )

    @staticmethod
    def at(table: Tensor, t: int | Tensor, like: Tensor) -> Tensor:
        """Entries of a table as a tensor that broadcasts against `like` (B, C, H, W)."""
        picked = table[t if isinstance(t, int) else t.to(table.device)].to(like.dtype).to(like.device)
        return picked.reshape(-1, *[1] * (like.ndim - 1)) if picked.ndim else picked


class _Renamed(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, GaussianPath)


class Process(GaussianPath, metaclass=_Renamed):
    """`GaussianPath` under its name of 0.1, which goes in 0.2."""

    def __init__(
        self, name: str, a: Tensor, b: Tensor, s: Tensor, r: Tensor, time: Tensor, before: Tensor | None = None
    ) -> None:
        super().__init__(name, a, b, s, r, time, before)


def old_name(name: str) -> Any:
    """`__getattr__` of the package: names that were public in 0.1. Raises AttributeError for any other."""
    if name != "Process":
        raise AttributeError(f"module 'unveil.diffusion' has no attribute {name!r}")
    note("unveil.diffusion.Process is called GaussianPath; the old name goes in 0.2", stacklevel=2)
    return Process


def residual_coefficients(signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(a, b, s) of the residual path at r = sqrt(abar): 2 r - 1, 1 - r, sqrt(1 - r^2) (Resfusion; LearnIR Eq. 2)."""
    return 2 * signal - 1, 1 - signal, (1 - signal**2).clamp(min=0).sqrt()


def residual(schedule: Schedule, time: str = "level") -> GaussianPath:
    """Resfusion's and LearnIR's path from y towards x0 through their residual, on images in [-1, 1], up to T'.

    time: what the network takes as time: "level" (the noise level s_t, so that one network serves any grid) or "index"
    (t - 1, what published Resfusion networks count).
    """
    signal = schedule.signal[: schedule.start + 1]
    a, b, s = residual_coefficients(signal)
    return GaussianPath(f"residual/{schedule.name}", a, b, s, signal, _timesteps(time, s, first=-1))


def _timesteps(time: str, s: Tensor, first: int) -> Tensor:
    """What a network takes as time at each index: the noise level s_t, or the index counted from `first`."""
    if time not in ("level", "index"):
        raise InputError(f"time must be 'level' or 'index', got {time!r}")
    return s if time == "level" else torch.arange(len(s), dtype=torch.float64) + first


def mean_reverting(theta_sum: Tensor, stationary: float = 50 / 255, time: str = "index") -> GaussianPath:
    """IR-SDE's path, an Ornstein-Uhlenbeck process from x0 towards y, on images in [0, 1].

    theta_sum: (T + 1,) integral of theta from 0, theta_sum[0] = 0; exp(-theta_sum[T]) = 0.005 as published.
    stationary: lambda, the standard deviation of the noise around y in the limit. Since a + b = 1 the path commutes with
    x -> 2 x - 1: on images in [-1, 1] it is the same with twice the noise.
    time: what the network takes as time: "index" (t, as published networks count) or "level" (s_t).
    """
    decay = torch.exp(-theta_sum.double())
    s = stationary * (1 - decay**2).clamp(min=0).sqrt()
    return GaussianPath(f"mean_reverting/{len(decay) - 1}", decay, 1 - decay, s, decay, _timesteps(time, s, first=0))


def variance_preserving(abar: Tensor) -> GaussianPath:
    """DDPM's and Stable Diffusion's path, which ignores y. abar: (T,) cumulative alphas, t = 0..T-1 as usual."""
    signal = torch.cat([torch.ones(1, dtype=torch.float64), abar.double().sqrt()])
    index = torch.arange(len(signal), dtype=torch.float64) - 1
    zero = torch.zeros_like(signal)
    return GaussianPath(
        f"variance_preserving/{len(abar)}", signal, zero, (1 - signal**2).clamp(min=0).sqrt(), signal, index
    )


def variance_exploding(sigma: Tensor, time: Tensor | None = None) -> GaussianPath:
    """The path of score matching and of EDM, which ignores y and leaves the image as it is: x_t = x0 + sigma_t eps (Song et al. 2021).

    sigma: (N,) ascending, above 0, on the images' own range. time: (N,) what a network takes as time; default sigma itself.
    Raises InputError for levels that do not ascend.
    """
    sigma = sigma.double()
    if sigma.ndim != 1 or len(sigma) < 1 or not bool((sigma.diff() > 0).all()) or not float(sigma[0]) > 0:
        raise InputError("noise levels must ascend from above 0")
    one = torch.ones(len(sigma) + 1, dtype=torch.float64)
    timestep = sigma if time is None else time.double()
    s, timestep = (torch.cat([c.new_zeros(1), c]) for c in (sigma, timestep))
    return GaussianPath(f"variance_exploding/{len(sigma)}", one, torch.zeros_like(one), s, one, timestep)


def rectified_flow(share: Tensor, time: Tensor | None = None) -> GaussianPath:
    """The straight path of flow matching, which ignores y: x_t = (1 - t) x0 + t eps (Liu et al. 2023, Lipman et al. 2023).

    share: (N,) t, ascending within (0, 1); 1 itself is left out, since nothing of x0 is in that state and a sampler would divide by 0.
    time: (N,) what a network takes as time; default 1000 t. Raises InputError for shares that do not ascend or leave the interval.
    """
    share = share.double()
    inside = share.ndim == 1 and len(share) > 0 and float(share[0]) > 0 and float(share[-1]) < 1
    if not inside or not bool((share.diff() > 0).all()):
        raise InputError("shares of noise must ascend within (0, 1)")
    timestep = 1000 * share if time is None else time.double()
    s, timestep = (torch.cat([c.new_zeros(1), c]) for c in (share, timestep))
    return GaussianPath(f"rectified_flow/{len(share)}", 1 - s, torch.zeros_like(s), s, 1 - s, timestep)


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
