"""Files as the published training programs write them, with the random weights of the golden networks inside."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

State = dict[str, Tensor]


@pytest.fixture
def golden(shared: Path) -> Callable[[str], State]:
    def read(name: str) -> State:
        tensors = load_file(shared / "golden" / f"{name}.safetensors")
        return {k.removeprefix("sd."): v for k, v in tensors.items() if k.startswith("sd.")}

    return read


def prefixed(state: State, prefix: str) -> State:
    return {prefix + k: v for k, v in state.items()}


def lightning(state: State) -> dict[str, Any]:
    """Resfusion's checkpoint."""
    return {
        "epoch": 2639,
        "global_step": 10,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": prefixed(state, "denoising_module."),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_PSNR'}": {"best_model_score": torch.tensor(30.068)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"T": 12, "args": argparse.Namespace(mode="epsilon")},
    }


def rddm_buffers(steps: int = 1000, total: float = 0.01) -> State:
    alpha = torch.arange(steps, 0, -1) / (steps * (steps + 1) / 2)
    noise = total * alpha.flip(0)
    names = ("alphas", "alphas_cumsum", "one_minus_alphas_cumsum", "betas2", "betas", "betas2_cumsum", "betas_cumsum")
    made = (alpha, alpha.cumsum(0), 1 - alpha.cumsum(0), noise, noise.sqrt(), noise.cumsum(0), noise.cumsum(0).sqrt())
    rest = ("posterior_mean_coef1", "posterior_mean_coef2", "posterior_mean_coef3", "posterior_variance")
    return (
        dict(zip(names, made, strict=True))
        | {k: torch.zeros(steps) for k in rest}
        | {"posterior_log_variance_clipped": torch.zeros(steps)}
    )


def rddm(state: State, **schedule: Any) -> dict[str, Any]:
    """RDDM's milestone: the raw weights, wrong on purpose, and the averaged ones."""
    whole = prefixed(state, "model.") | rddm_buffers(**schedule)
    raw = {k: v + 1 if v.is_floating_point() else v for k, v in whole.items()}
    averaged = {"initted": torch.tensor(True), "step": torch.tensor(120_000)}
    averaged |= prefixed(raw, "online_model.") | prefixed(whole, "ema_model.")
    return {"step": 120_000, "model": raw, "opt": {"state": {}, "param_groups": []}, "ema": averaged, "scaler": None}


def open_clip(state: State) -> dict[str, Any]:
    """DA-CLIP's checkpoint: distributed training's prefix, and the image tower a second time."""
    again = {k.replace("clip.visual.", "visual."): v for k, v in state.items() if k.startswith("clip.visual.")}
    return {"epoch": 30, "name": "daclip", "state_dict": prefixed(state | again, "module."), "optimizer": {}}


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write(name: str, tree: Any) -> Path:
        torch.save(tree, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def files() -> SimpleNamespace:
    """The ways in which published programs pack a table of weights, by name."""
    return SimpleNamespace(
        bare=dict,
        module=lambda state: prefixed(state, "module."),
        ema=lambda state: prefixed(state, "ema_model."),
        params=lambda state: {"params": state},
        lightning=lightning,
        rddm=rddm,
        open_clip=open_clip,
        prefixed=prefixed,
    )
