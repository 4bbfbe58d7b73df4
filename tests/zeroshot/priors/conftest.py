"""Folders of tiny random priors, as they come from the shelf, from training or from the hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unveil.networks.diffusers_networks import AutoencoderKL, DiffusersUNet, write_part

UNET: dict[str, Any] = {
    "_class_name": "UNet2DModel", "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": [8, 8],
    "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2,
    "add_attention": False,
}  # fmt: skip
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL", "latent_channels": 4, "block_out_channels": [4, 8, 8], "layers_per_block": 1, "norm_num_groups": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3, "mid_block_add_attention": False,
    "scaling_factor": 2.0,
}  # fmt: skip
SCHEDULER: dict[str, Any] = {"beta_schedule": "linear", "num_train_timesteps": 1000, "prediction_type": "v_prediction"}


@pytest.fixture
def pixel_folder(tmp_path: Path) -> Callable[..., Path]:
    """(changes of the U-Net's config, changes of the scheduler's) -> a folder of a prior of pixels."""

    def make(unet: dict[str, Any] | None = None, scheduler: dict[str, Any] | None = None, name: str = "tiny") -> Path:
        config = UNET | (unet or {})
        torch.manual_seed(0)
        write_part(tmp_path / name, "unet", config, DiffusersUNet(config), torch.float32)
        write_part(tmp_path / name, "scheduler", SCHEDULER | (scheduler or {}))
        return tmp_path / name

    return make


@pytest.fixture
def latent_folder(tmp_path: Path) -> Callable[..., Path]:
    """(changes of the U-Net's config, changes of the autoencoder's) -> a folder of a latent prior without text."""

    def make(unet: dict[str, Any] | None = None, vae: dict[str, Any] | None = None) -> Path:
        config = UNET | {"in_channels": 4, "out_channels": 4} | (unet or {})
        torch.manual_seed(0)
        write_part(tmp_path / "latent", "unet", config, DiffusersUNet(config), torch.float32)
        described = VAE | (vae or {})
        write_part(tmp_path / "latent", "vae", described, AutoencoderKL(described), torch.float32)
        write_part(tmp_path / "latent", "scheduler", SCHEDULER)
        return tmp_path / "latent"

    return make
