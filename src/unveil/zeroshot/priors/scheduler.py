"""A prior's path, and the input and output of its network, from the scheduler_config.json beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.path import GaussianPath, rectified_flow, variance_exploding, variance_preserving
from unveil.diffusion.prediction import to_x0
from unveil.errors import ModelError

PRESERVING = frozenset(
    f"{name}Scheduler" for name in (
        "DDPM", "DDIM", "DDIMInverse", "DDIMParallel", "DDPMParallel", "PNDM", "RePaint", "DPMSolverMultistep", "DPMSolverSinglestep",
        "DPMSolverMultistepInverse", "DPMSolverSDE", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "KDPM2Discrete",
        "KDPM2AncestralDiscrete", "LMSDiscrete", "UniPCMultistep", "DEISMultistep", "SASolver",
    )
)  # fmt: skip
"""Samplers of networks that were trained on the variance-preserving path, whatever units they themselves walk in."""
EXPLODING = frozenset({"ScoreSdeVeScheduler"})
EDM = frozenset({"EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"})
FLOW = frozenset({"FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"})
_REFUSED = {
    "KarrasVeScheduler": "its networks are shown images in [0, 1] with half of their noise level, by a pipeline that diffusers gave up",
    "CMStochasticIterativeScheduler": "a consistency model answers with a sample, not with the mean that posterior sampling needs",
    "LCMScheduler": "a consistency model answers with a sample, not with the mean that posterior sampling needs; give the model it was "
    "distilled from",
    "TCDScheduler": "a consistency model answers with a sample, not with the mean that posterior sampling needs; give the model it was "
    "distilled from",
}


@dataclass(frozen=True, eq=False)
class Preconditioning:
    """Input and output of a network that was not trained on the variance-preserving path in [-1, 1].

    Samplers walk `own.unit()`, the same path in units where a^2 + s^2 = 1, so that all that is published for variance-preserving priors
    holds. own: the path as it was trained, for images in [-1, 1]. sigma_data: EDM's, None for another network (Karras et al. 2022,
    equation 7; sign: -1 where the network says minus F). positive: the network knows images in [0, 1].
    """

    own: GaussianPath
    prediction: str
    sigma_data: float | None = None
    sign: float = 1.0
    positive: bool = False

    def model_input(self, z_t: Tensor, t: int) -> Tensor:
        """What the network is shown for a state z_t (B, C, h, w) at index t."""
        x = z_t * self._unit(t)
        if self.sigma_data is not None:
            return x / math.hypot(float(self.own.sigma[t]), self.sigma_data)
        return (x + 1) / 2 if self.positive else x

    def x0_hat(self, output: Tensor, z_t: Tensor, t: int) -> Tensor:
        """x0_hat, in [-1, 1], from the output of the network for `model_input(z_t, t)`."""
        x, s = z_t * self._unit(t), float(self.own.sigma[t])
        if self.sigma_data is not None:
            total = s**2 + self.sigma_data**2
            return self.sigma_data**2 / total * x + self.sign * s * self.sigma_data / total**0.5 * output
        # A gradient of log density per unit of [0, 1] is twice that per unit of [-1, 1].
        return to_x0(self.prediction, self.own, t, output / 2 if self.positive else output, x, x)

    def _unit(self, t: int) -> float:
        return math.hypot(float(self.own.alpha[t]), float(self.own.sigma[t]))


@dataclass(frozen=True, eq=False)
class Trained:
    """process: as samplers walk it, variance-preserving. prediction: see `diffusion.prediction`. preconditioning: None for none."""

    process: GaussianPath
    prediction: str
    preconditioning: Preconditioning | None = None


def trained(config: Mapping[str, Any]) -> Trained:
    """How a prior was trained, decided by its scheduler's class, DDPM's where none is named.

    Raises ModelError for a class, a schedule or a prediction type that is not supported, by its name.
    """
    name = str(config.get("_class_name", "DDPMScheduler"))
    steps = int(config.get("num_train_timesteps", 1000))
    if name in FLOW or config.get("prediction_type") == "flow_prediction":
        own = rectified_flow(_flow_shares(config, steps), _flow_shares(config, steps) * steps)
        return _other(Preconditioning(own, "flow_prediction"))
    if name in EXPLODING:
        low, high = float(config.get("sigma_min", 0.01)), float(config.get("sigma_max", 1348.0))
        sigma = torch.linspace(math.log(low), math.log(high), steps, dtype=torch.float64).exp()
        return _other(Preconditioning(variance_exploding(2 * sigma, sigma), "score", positive=True))
    if name in EDM:
        sigma = _edm_levels(config, steps)
        kind = _one_of(config, ("epsilon", "v_prediction"))
        preconditioning = Preconditioning(
            variance_exploding(sigma, sigma.log() / 4),
            "sample",
            float(config.get("sigma_data", 0.5)),
            1.0 if kind == "epsilon" else -1.0,
        )
        return _other(preconditioning)
    if name not in PRESERVING:
        why = _REFUSED.get(name, "known are DDPM's and Stable Diffusion's kinds, ScoreSdeVe, EDM and FlowMatch")
        raise ModelError(f"a prior with the scheduler {name} is not supported: {why}")
    if config.get("timestep_type", "discrete") != "discrete":
        raise ModelError(f"a prior whose {name} tells the network continuous times is not supported")
    return Trained(path(config), prediction(config))


def _other(preconditioning: Preconditioning) -> Trained:
    return Trained(preconditioning.own.unit(), preconditioning.prediction, preconditioning)


def _flow_shares(config: Mapping[str, Any], steps: int) -> Tensor:
    """(T,) shares of noise, in the middle of each of T equal parts, moved by the static shift (Esser et al. 2024, section 5.3.2)."""
    even = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    shift = 1.0 if config.get("use_dynamic_shifting") else float(config.get("shift") or config.get("flow_shift") or 1.0)
    return shift * even / (1 + (shift - 1) * even)


def _edm_levels(config: Mapping[str, Any], steps: int) -> Tensor:
    """(T,) ascending noise levels between sigma_min and sigma_max (Karras et al. 2022, equation 5, or evenly in the logarithm)."""
    low, high = float(config.get("sigma_min", 0.002)), float(config.get("sigma_max", 80.0))
    if config.get("sigma_schedule", "karras") == "exponential":
        return torch.linspace(math.log(low), math.log(high), steps, dtype=torch.float64).exp()
    power = 1 / float(config.get("rho", 7.0))
    return torch.linspace(low**power, high**power, steps, dtype=torch.float64) ** (1 / power)


def betas(config: Mapping[str, Any]) -> Tensor:
    """(T,) float64 variances per step. Raises ModelError for a schedule that is not known."""
    steps = int(config.get("num_train_timesteps", 1000))
    kind = config.get("beta_schedule", "linear")
    first, last = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    if kind == "linear":
        return torch.linspace(first, last, steps, dtype=torch.float64)
    if kind == "scaled_linear":  # Stable Diffusion
        return torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
    if kind == "squaredcos_cap_v2":  # Nichol and Dhariwal 2021
        u = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        return (1 - f[1:] / f[:-1]).clamp(max=0.999)
    raise ModelError(
        f"the scheduler's beta_schedule {kind!r} is not known; known are linear, scaled_linear, squaredcos_cap_v2"
    )


def path(config: Mapping[str, Any]) -> GaussianPath:
    """The variance-preserving path of all trained steps; with rescale_betas_zero_snr its end is pure noise (Lin et al. 2024)."""
    signal = (1 - betas(config)).cumprod(0).sqrt()
    if config.get("rescale_betas_zero_snr"):
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return variance_preserving(signal**2)


def prediction(config: Mapping[str, Any]) -> str:
    """What the network predicts. Raises ModelError for a type that is not known."""
    return _one_of(config, ("epsilon", "v_prediction", "sample"))


def _one_of(config: Mapping[str, Any], known: tuple[str, ...]) -> str:
    kind = config.get("prediction_type", "epsilon")
    if kind not in known:
        raise ModelError(f"the scheduler's prediction_type {kind!r} is not known; known are {', '.join(known)}")
    return str(kind)
