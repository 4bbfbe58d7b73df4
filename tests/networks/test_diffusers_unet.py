"""The networks that are built without diffusers, against diffusers on the same random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unveil.errors import ModelError
from unveil.networks.diffusers_networks import AutoencoderKL, DiffusersUNet

diffusers = pytest.importorskip("diffusers")

SMALL: dict[str, Any] = {"norm_num_groups": 4, "layers_per_block": 1}
UNETS: dict[str, dict[str, Any]] = {
    "shipped": {
        "block_out_channels": (8, 12, 16), "down_block_types": ("DownBlock2D",) * 3, "up_block_types": ("UpBlock2D",) * 3,
        "add_attention": False,
    },
    "ddpm": {
        "block_out_channels": (8, 16), "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "layers_per_block": 2,
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0,
    },
    "adm": {
        "block_out_channels": (8, 16), "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"), "out_channels": 6,
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"), "attention_head_dim": 4, "attn_norm_num_groups": 4,
        "resnet_time_scale_shift": "scale_shift", "downsample_type": "resnet", "upsample_type": "resnet",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", UNETS)
def test_a_unet_says_what_diffusers_says(name: str) -> None:
    torch.manual_seed(0)
    theirs = diffusers.UNet2DModel(**SMALL | UNETS[name]).eval()
    ours = DiffusersUNet(dict(theirs.config)).eval()
    ours.load_state_dict(theirs.state_dict())
    x, t = torch.randn(2, 3, 16, 24), torch.tensor([3, 700])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t), theirs(x, t).sample, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [True, False])
def test_an_autoencoder_says_what_diffusers_says(attention: bool) -> None:
    torch.manual_seed(0)
    theirs = diffusers.AutoencoderKL(
        block_out_channels=(8, 12), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        mid_block_add_attention=attention, **SMALL,
    ).eval()  # fmt: skip
    ours = AutoencoderKL(dict(theirs.config)).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 16, 24)
    with torch.no_grad():
        known = theirs.encode(x).latent_dist
        mean, log_variance = ours.encode(x)
        torch.testing.assert_close(mean, known.mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(log_variance, known.logvar, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.decode(mean), theirs.decode(mean).sample, rtol=1e-4, atol=1e-5)
    assert ours.factor == 2


@pytest.mark.parametrize(
    "change", [{"act_fn": "gelu"}, {"class_embed_type": "timestep"}, {"down_block_types": ("SkipDownBlock2D",) * 2}]
)
def test_parts_that_are_not_built_here_are_named(change: dict[str, Any]) -> None:
    config = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D",) * 2,
        "up_block_types": ("UpBlock2D",) * 2,
    }
    with pytest.raises(ModelError, match=next(iter(change))):
        DiffusersUNet(config | change)


def test_an_autoencoder_of_other_blocks_is_refused() -> None:
    with pytest.raises(ModelError, match="down_block_types"):
        AutoencoderKL({"block_out_channels": (8,), "down_block_types": ("AttnDownEncoderBlock2D",)})
