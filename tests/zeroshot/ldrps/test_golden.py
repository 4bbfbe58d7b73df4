"""Nine steps of the official code on a tiny random Stable Diffusion, for three tasks.

Every step starts from the official state, as rounding is amplified by the kinks of the networks that are learnt;
those networks, their optimisers and their discriminators run free over all nine steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from unveil.diffusion import variance_preserving
from unveil.diffusion.noise import seeded
from unveil.diffusion.prediction import to_x0
from unveil.networks.diffusers_networks import AutoencoderKL
from unveil.zeroshot.guided_sampling import descend
from unveil.zeroshot.ldrps import TASKS, Guidance, published

pytestmark = pytest.mark.shared

TRACES = {"lowlight": "lowlight", "dehaze": "dehazing", "denoise": "denoising"}
FACTOR = 0.18215
VAE = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [8] * 4, "layers_per_block": 1,
    "norm_num_groups": 4, "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "act_fn": "silu", "sample_size": 64,
}  # fmt: skip


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


class Stand:
    """The golden prior: its autoencoder, and its U-Net where diffusers is installed."""

    channels, factor, multiple_of, native, prompted, name, sha256 = 4, 8, 8, 64, True, "golden", ""
    device = torch.device("cpu")

    def __init__(self, common: dict[str, Tensor]) -> None:
        self.common, self.unet = common, None
        self.process = variance_preserving(common["alphas_cumprod"])
        self.vae = AutoencoderKL(VAE)
        self.vae.load_state_dict(under(common, "vae."))
        self.vae.eval().requires_grad_(False)

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        assert self.unet is not None
        free, told = (self.unet(z_t, t - 1, text.expand(len(z_t), -1, -1)).sample for text in condition.split(1))
        return to_x0("epsilon", self.process, t, free + guidance * (told - free), z_t, z_t)

    def condition(self, prompt: str, negative: str = "") -> Tensor:
        return self.common["text_embeddings"]

    def encode(self, x: Tensor) -> Tensor:
        raise AssertionError("no step encodes")

    def decode(self, z: Tensor) -> Tensor:
        return self.vae.decode(z / FACTOR)


def distance(common: dict[str, Tensor]):
    """The stand-in for VGG that the traces were made with."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    network.load_state_dict(under(common, "percep."))
    network.requires_grad_(False)
    mean, std = (
        torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1),
    )
    return lambda a, b: ((network((a - mean) / std) - network((b - mean) / std)) ** 2).mean()


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.replace("net1", "h1").replace("net2", "h2").replace("skip_scale1", "p"): v for k, v in tensors.items()}


@pytest.fixture
def one_thread():
    """Rounding depends on the number of threads, and the kinks amplify it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def opened(shared: Path, task: str) -> tuple[Stand, Guidance, dict[str, Tensor], dict[str, Tensor]]:
    common = load_file(shared / "golden" / "zeroshot_ldrps_trace_common.safetensors")
    trace = load_file(shared / "golden" / f"zeroshot_ldrps_trace_{TRACES[task]}.safetensors")
    stand = Stand(common)
    y = common["lq_image"][:1]
    guidance = Guidance(
        stand, y, TASKS[task], published(task, width=8), distance(common), seeded([0]), lambda image: None
    )
    objective = guidance.objective
    objective.adapter.network.load_state_dict(renamed(under(trace, "fpam_init.")))
    objective.adapter.adversary.network.layers.load_state_dict(under(trace, "d1_init."))
    objective.adversary.network.layers.load_state_dict(under(trace, "d2_init."))
    return stand, guidance, common, trace


def close(found: Tensor, expected: Tensor, share: float = 1e-4) -> None:
    """Largest difference below a share of the largest value."""
    assert float((found - expected).abs().max()) <= share * float(expected.abs().max())


@pytest.mark.parametrize("task", TRACES)
def test_constants(shared, task):
    _, _, _, trace = opened(shared, task)
    row = TASKS[task]
    assert torch.tensor(row.adapter) == pytest.approx(trace["fpam_weights"])
    assert (*row.rates, 5e-4) == pytest.approx([float(f"{v:.3g}") for v in trace["lr_d1_d2_fpam"].tolist()])
    assert row.scale == float(trace["guidance_scale"])


@pytest.mark.parametrize("task", TRACES)
def test_guidance_and_what_is_learnt(shared, task, one_thread):
    _, guidance, _, trace = opened(shared, task)
    for i, t in enumerate(trace["timesteps"].tolist()):
        pulled = guidance.pull(trace[f"s{i}.z0_hat"], int(t) + 1)
        assert pulled is not None
        close(pulled, trace[f"s{i}.grad"])
        assert not pulled[1:].any()
        close(guidance.objective.adapter.losses, trace[f"s{i}.fpam_losses"])
    for name, expected in renamed(under(trace, "fpam_final.")).items():
        close(guidance.objective.adapter.network.state_dict()[name], expected)


@pytest.mark.parametrize("task", TRACES)
def test_whole_steps(shared, task, one_thread, monkeypatch):
    """F-PAM learns from the official estimates, too: for haze one of its rectifiers is within 1e-6 of its kink at the third
    step, so that a rounding difference of the estimate changes its gradient by 7e-5 at once, Adam makes 1.7e-5 of a weight of it,
    and the guidance that follows differs by 2e-3. All else is this package's own, the estimate that guidance starts from included.
    """
    diffusers = pytest.importorskip("diffusers")
    stand, guidance, common, trace = opened(shared, task)
    stand.unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(16, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
    ).eval().requires_grad_(False)  # fmt: skip
    stand.unet.load_state_dict(under(common, "unet."))
    learn = guidance._learn
    z, texts = common["latents_init"], stand.condition("")
    for i, t in enumerate(int(t) for t in trace["timesteps"].tolist()):
        official = guidance._decode(trace[f"s{i}.z0_hat"])
        monkeypatch.setattr(guidance, "_learn", lambda own, late, official=official: learn(official, late))
        grid = [t + 1, max(t - 1, 1)]
        found = descend(stand.process, z, grid, lambda z_t, at: stand.denoise(z_t, at, texts, 8.0), guidance)
        close(found, trace[f"s{i}.latents"])
        z = trace[f"s{i}.latents"]
