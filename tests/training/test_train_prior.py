"""The script that trains the small priors, on the loop that trains everything."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from recipes import train_prior
from unveil.data.dataset import crops, rng
from unveil.networks.diffusers_networks import WEIGHTS, DiffusersUNet
from unveil.training import checkpoint
from unveil.training.loop import run


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`recipes.train_prior`, on the photographs of the tests."""
    monkeypatch.setattr(train_prior, "FOLDERS", ("clean",))
    monkeypatch.setattr(train_prior, "BATCH", dict.fromkeys(train_prior.BATCH, (2, 16)))
    return train_prior


def given(pairs: Path, output: Path, **changes: Any) -> argparse.Namespace:
    settings = {
        "data": pairs, "output": output, "steps": 5, "minutes": 0.0, "batch": None, "accumulate": 1, "device": "cpu", "workers": 0,
        "seed": 1, **changes,
    }  # fmt: skip
    torch.manual_seed(1)
    return argparse.Namespace(**settings)


def test_the_weights_are_those_of_a_bare_loop(script: ModuleType, pairs: Path, tmp_path: Path) -> None:
    """What trained the priors before there was one loop, but for the average, which follows one step later."""
    run(script.pixel(given(pairs, tmp_path / "run")), tmp_path / "run" / "training", report=lambda _: None)
    kept = checkpoint.latest(tmp_path / "run" / "training")
    assert kept is not None
    torch.manual_seed(1)
    network, loss = (
        script.quiet_start(DiffusersUNet(script.PIXEL)),
        script.diffusion_loss(script.SCHEDULERS["pixel"], 1.7),
    )
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
    found, _ = script.photographs(pairs)
    for step in range(5):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 20, max(0.01, 4 * (1 - step / 5)))
        optimiser.zero_grad()
        x = crops(found, 2, 16, rng(1, step))[0] * 2 - 1
        loss(network, x, torch.Generator().manual_seed(1_000_003 + step)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    for name, parameter in network.named_parameters():
        # The rate's factors are multiplied in another order: a last digit.
        assert torch.allclose(kept.tensors[f"network.{name}"], parameter, rtol=0, atol=1e-7), name
    assert (tmp_path / "run" / "unet" / WEIGHTS).is_file()
    assert (tmp_path / "run" / "model_index.json").is_file()


def test_a_stopped_autoencoder_goes_on_and_its_encoder_stays(script: ModuleType, pairs: Path, tmp_path: Path) -> None:
    whole = run(
        script.autoencoder(given(pairs, tmp_path / "whole")), tmp_path / "whole" / "training", report=lambda _: None
    )
    run(
        script.autoencoder(given(pairs, tmp_path / "run")),
        tmp_path / "run" / "training",
        report=lambda _: None,
        stop_at=2,
    )
    said: list[str] = []
    parts = run(script.autoencoder(given(pairs, tmp_path / "run")), tmp_path / "run" / "training", report=said.append)
    assert said[0] == "resumed at step 2 of 5"
    for (name, one), other in zip(whole.network.named_parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(one, other), name
    fresh = script.autoencoder(given(pairs, tmp_path / "fresh"))
    for one, other in zip(fresh._network.encoder.parameters(), parts.network.encoder.parameters(), strict=True):
        assert torch.equal(one, other)
    given_vae = given(pairs, tmp_path / "latent", autoencoder=tmp_path / "run", minutes=1e-4)
    run(script.latent(given_vae), tmp_path / "latent" / "training", report=lambda _: None)
    assert (tmp_path / "latent" / "vae" / WEIGHTS).is_file()
    assert (tmp_path / "latent" / "unet" / WEIGHTS).is_file()
