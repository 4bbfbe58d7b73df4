"""Paths and prediction types out of scheduler_config.json, against closed forms and diffusers' own tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unveil.diffusion.prediction import KINDS
from unveil.errors import ModelError
from unveil.zeroshot.priors.scheduler import path, prediction

diffusers = pytest.importorskip("diffusers")

CONFIGS: list[dict[str, Any]] = [
    {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "rescale_betas_zero_snr": True},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_tables_are_those_of_diffusers(config: dict[str, Any]) -> None:
    theirs = diffusers.DDIMScheduler(num_train_timesteps=1000, **config).alphas_cumprod.double()
    process = path({"num_train_timesteps": 1000, **config})
    assert process.steps == 1000
    assert float(process.alpha[0]) == 1.0
    # Theirs are float32 products of a thousand factors.
    torch.testing.assert_close(process.alpha[1:] ** 2, theirs, rtol=2e-4, atol=1e-6)
    torch.testing.assert_close(process.alpha**2 + process.sigma**2, torch.ones(1001, dtype=torch.float64))


def test_trained_betas_are_taken_as_they_are() -> None:
    process = path({"trained_betas": [0.1, 0.2], "beta_schedule": "linear"})
    torch.testing.assert_close(process.alpha**2, torch.tensor([1.0, 0.9, 0.9 * 0.8], dtype=torch.float64))


def test_prediction_types() -> None:
    for kind in ("epsilon", "v_prediction", "sample"):
        assert prediction({"prediction_type": kind}) == kind
        assert kind in KINDS, "the same names here"
    assert prediction({}) == "epsilon"


def test_what_is_not_known_is_named() -> None:
    with pytest.raises(ModelError, match="flow_prediction"):
        prediction({"prediction_type": "flow_prediction"})
    with pytest.raises(ModelError, match="laplace"):
        path({"beta_schedule": "laplace"})
