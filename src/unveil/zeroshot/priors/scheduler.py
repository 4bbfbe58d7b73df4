"""A prior's path and what its network predicts, from the scheduler_config.json beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unveil.diffusion.process import Process, variance_preserving
from unveil.errors import ModelError

PREDICTIONS = {"epsilon": "noise", "v_prediction": "v", "sample": "x0"}
"""diffusers' prediction_type -> this package's (see `diffusion.prediction`)."""


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


def path(config: Mapping[str, Any]) -> Process:
    """The variance-preserving path of all trained steps; with rescale_betas_zero_snr its end is pure noise (Lin et al. 2024)."""
    signal = (1 - betas(config)).cumprod(0).sqrt()
    if config.get("rescale_betas_zero_snr"):
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return variance_preserving(signal**2)


def prediction(config: Mapping[str, Any]) -> str:
    """What the network says, by this package's name. Raises ModelError for a type that is not known."""
    said = config.get("prediction_type", "epsilon")
    if said not in PREDICTIONS:
        raise ModelError(f"the scheduler's prediction_type {said!r} is not known; known are {', '.join(PREDICTIONS)}")
    return PREDICTIONS[said]
