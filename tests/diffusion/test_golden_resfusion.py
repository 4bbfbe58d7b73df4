"""Against numbers that the official Resfusion code made. It counts its steps from 0, this package from 1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.diffusion import GaussianPath, Schedule, cosine_pro, linear_pro, residual, sample
from unveil.diffusion.prediction import from_x0, to_x0
from unveil.errors import InputError

pytestmark = pytest.mark.shared

Golden = dict[str, Tensor]
MAKERS: dict[str, Callable[[int], Schedule]] = {"linear_pro": linear_pro, "cosine_pro": cosine_pro}
PATHS = {"linear_pro12": linear_pro(12), "cosine_pro10": cosine_pro(10), "linear_pro100": linear_pro(100)}


@pytest.fixture
def tables(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "resfusion_schedules.npz") as file:
        return dict(file)


@pytest.fixture
def official(golden: Callable[[str], Golden]) -> Golden:
    return golden("resfusion_process")


@pytest.mark.parametrize("name", MAKERS)
def test_tables(name: str, tables: dict[str, np.ndarray]) -> None:
    """1e-6 relative, plus the rounding of the official float32 tables (1e-7: 1 - beta loses what is small)."""
    lengths = sorted({int(key.split("__")[1][1:]) for key in tables if key.startswith(f"{name}__T")})
    assert len(lengths) >= 12
    for steps in lengths:
        schedule = MAKERS[name](steps)
        abar = schedule.signal[1:] ** 2
        before = torch.cat([abar[:1], abar[:-1]])  # the official roll puts abar_1 where 1 should stand
        ours = {
            "beta": 1 - schedule.alpha,
            "alpha": schedule.alpha,
            "alpha_hat": abar,
            "alpha_hat_tm1": before,
            "beta_hat": (1 - before) / (1 - abar) * (1 - schedule.alpha),
            "T_acc": torch.tensor(schedule.start),
        }
        for key, value in ours.items():
            expected = torch.from_numpy(np.asarray(tables[f"{name}__T{steps}__{key}"])).to(value.dtype)
            torch.testing.assert_close(
                value, expected, rtol=1e-6, atol=1e-7, msg=partial("{} of T = {}: {}".format, key, steps)
            )


@pytest.mark.parametrize("name", MAKERS)
def test_length_and_start_for_every_number_of_steps(name: str, tables: dict[str, np.ndarray]) -> None:
    """T = 1..1000; where the official code raises or returns NaN (-1), this one refuses."""
    refused = []
    for steps, length, start in tables[f"{name}__table_T_len_Tacc"].tolist():
        if length == -1:
            refused.append(steps)
            with pytest.raises(InputError, match=f"undefined for T = {steps}"):
                MAKERS[name](steps)
        else:
            schedule = MAKERS[name](steps)
            assert (schedule.steps, schedule.start) == (length, start), steps
    assert refused == {"linear_pro": list(range(1, 10)), "cosine_pro": [1]}[name]


@pytest.mark.parametrize("name", PATHS)
def test_states_and_targets(name: str, official: Golden) -> None:
    """x_t and eps_res at every step tabulated, 2e-6 (their float32)."""
    process = residual(PATHS[name], "index")
    x0, y, eps = (official[key].double() for key in ("x0", "y", "noise"))
    for i, index in enumerate(official[f"{name}.ts"].tolist()):
        t = index + 1
        assert float(process.timestep[t]) == index
        x_t = process.forward(x0, y, t, eps)
        torch.testing.assert_close(x_t, official[f"{name}.x_t"][i].double(), rtol=0, atol=2e-6)
        target = from_x0("residual_noise", process, t, x0, x_t, y)
        torch.testing.assert_close(target, official[f"{name}.eps_res"][i].double(), rtol=0, atol=2e-6)


def fake(x: Tensor, y: Tensor, time: float) -> Tensor:
    """The stand-in for a network that the golden trajectories were made with."""
    return 0.3 * x + 0.2 * y - 0.05 * time + 0.1 * torch.sin(3 * x)


def trajectory(process: GaussianPath, mode: str, y: Tensor, noises: Tensor) -> list[Tensor]:
    """[x_T', ..., x_0] of the one loop. The official code clamps x0_hat in two of its modes and never inside the third."""
    states: list[Tensor] = []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        states.append(x)
        kind = {"epsilon": "residual_noise", "sample": "sample", "residual": "residual"}[mode]
        x0_hat = to_x0(kind, process, t, fake(x, y, float(process.timestep[t])), x, y)
        return x0_hat if mode == "epsilon" else x0_hat.clamp(-1, 1)

    out = sample(denoise, y, process, lambda index, like: noises[index].to(like), solver="ancestral")
    return [*states, out]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["epsilon", "sample", "residual"])
@pytest.mark.parametrize("name", PATHS)
def test_trajectories(name: str, mode: str, dtype: torch.dtype, official: Golden) -> None:
    """Every state of the official sampler in its three modes, none clamped at the end: 2e-6, absolute and relative."""
    process = residual(PATHS[name], "index")
    states = trajectory(process, mode, official["y"].to(dtype), official[f"{name}.noises"])
    assert len(states) == process.steps + 1
    if f"{name}.{mode}.steps" in official:
        expected = list(official[f"{name}.{mode}.steps"])
    else:
        states, expected = states[-1:], [official[f"{name}.{mode}.final"]]
    for i, (ours, theirs) in enumerate(zip(states, expected, strict=True)):
        message = partial("state {}: {}".format, i)
        torch.testing.assert_close(ours, theirs.to(dtype), rtol=2e-6, atol=2e-6, msg=message)


def test_the_training_loss(official: Golden) -> None:
    """One official training step: mean squared error of eps_res on images mapped from [0, 1]."""
    process = residual(PATHS["linear_pro12"], "index")
    x0, y, eps = official["x0"], official["y"], official["train.noise"]
    t = official["train.t"] + 1
    x_t = process.forward(x0, y, t, eps)
    errors = []
    for i, index in enumerate(t.tolist()):
        one = slice(i, i + 1)
        target = from_x0("residual_noise", process, index, x0[one], x_t[one], y[one])
        errors.append((fake(x_t[one], y[one], index - 1) - target).square().mean())
    torch.testing.assert_close(torch.stack(errors).mean()[None], official["train.loss"], rtol=1e-6, atol=0)
