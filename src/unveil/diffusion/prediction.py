"""What a network predicts, turned into x0_hat and back: linear conversions, with the a, b, s of one index t.

Types that diffusers knows too have the same names there.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from unveil.diffusion.path import GaussianPath
from unveil.errors import InputError

Convert = Callable[[GaussianPath, int, Tensor, Tensor, Tensor], Tensor]


def _c(p: GaussianPath, t: int) -> tuple[float, float, float]:
    return float(p.alpha[t]), float(p.beta[t]), float(p.sigma[t])


def residual_noise_factor(p: GaussianPath, t: int) -> float:
    """k_t in eps_res = eps + k_t R: (1 - sqrt(alpha_t)) sqrt(1 - abar_t) / beta_t, or s_t / (1 + sqrt(alpha_t)).

    The first factor has the alpha_t of the step that was trained, also where only a subset of the steps is sampled.
    LearnIR's Eq. 5 prints the cumulative one in both; with it the reverse mean misses the exact posterior mean by up to
    0.44 |R| (T = 12, first reverse step).
    """
    return float(p.sigma[t]) / (1 + p.trained_ratio(t))


def _from_noise(p: GaussianPath, t: int, eps: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    a, b, s = _c(p, t)
    if abs(a) < 1e-8:
        raise InputError(f"x0 cannot be read from the noise at step {t} of {p.name}: x0 has no weight in that state")
    return (x_t - b * y - s * eps) / a


def _to_noise(p: GaussianPath, t: int, x0: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    a, b, s = _c(p, t)
    return (x_t - a * x0 - b * y) / s


def _from_residual_noise(p: GaussianPath, t: int, e: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    # x_t = a x0 + b y + s eps and e = eps + k (y - x0): two equations, eps eliminated.
    a, b, s = _c(p, t)
    k = residual_noise_factor(p, t)
    return (x_t - b * y - s * e + s * k * y) / (a + s * k)


def _to_residual_noise(p: GaussianPath, t: int, x0: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    return _to_noise(p, t, x0, x_t, y) + residual_noise_factor(p, t) * (y - x0)


def _from_v(p: GaussianPath, t: int, v: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    # v = a eps - s x0 (Salimans and Ho 2022), here on the part of the state that is not y.
    a, b, s = _c(p, t)
    return (a * (x_t - b * y) - s * v) / (a * a + s * s)


def _to_v(p: GaussianPath, t: int, x0: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    a, _, s = _c(p, t)
    return a * _to_noise(p, t, x0, x_t, y) - s * x0


def _from_flow(p: GaussianPath, t: int, v: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    # v = eps - x0, the velocity of the straight path (Lipman et al. 2023): x_t - b y = a x0 + s (v + x0).
    a, b, s = _c(p, t)
    return (x_t - b * y - s * v) / (a + s)


def _to_flow(p: GaussianPath, t: int, x0: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    return _to_noise(p, t, x0, x_t, y) - x0


_FROM: dict[str, Convert] = {
    "sample": lambda p, t, out, x_t, y: out,
    "residual": lambda p, t, out, x_t, y: y - out,
    "epsilon": _from_noise,
    "score": lambda p, t, out, x_t, y: _from_noise(p, t, -float(p.sigma[t]) * out, x_t, y),
    "residual_noise": _from_residual_noise,
    "v_prediction": _from_v,
    "flow_prediction": _from_flow,
}
_TO: dict[str, Convert] = {
    "sample": lambda p, t, x0, x_t, y: x0,
    "residual": lambda p, t, x0, x_t, y: y - x0,
    "epsilon": _to_noise,
    "score": lambda p, t, x0, x_t, y: -_to_noise(p, t, x0, x_t, y) / float(p.sigma[t]),
    "residual_noise": _to_residual_noise,
    "v_prediction": _to_v,
    "flow_prediction": _to_flow,
}
KINDS = tuple(_FROM)
_RENAMED = {"x0": "sample", "noise": "epsilon", "v": "v_prediction", "flow": "flow_prediction"}


def current_name(kind: str) -> str:
    """The present name of a prediction type; files of version 0.1 use other names for some."""
    return _RENAMED.get(kind, kind)


def _pick(table: dict[str, Convert], kind: str) -> Convert:
    if kind not in table:
        raise InputError(f"unknown prediction type {kind!r}; known are {', '.join(KINDS)}")
    return table[kind]


def to_x0(kind: str, path: GaussianPath, t: int, output: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    """x0_hat from a network's output of type `kind` at index t >= 1. All tensors (B, C, H, W)."""
    return _pick(_FROM, kind)(path, t, output, x_t, y)


def from_x0(kind: str, path: GaussianPath, t: int, x0: Tensor, x_t: Tensor, y: Tensor) -> Tensor:
    """The output of a perfect network of type `kind` if the clean image were x0: the inverse of `to_x0`."""
    return _pick(_TO, kind)(path, t, x0, x_t, y)
