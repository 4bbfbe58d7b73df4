"""Peak memory of one step of a zero-shot method on a model of Stable Diffusion 2.1's shape, with random weights (Linux).

    python -m benchmarks zeroshot_memory --json benchmarks/results/zeroshot_memory.json

A step is one evaluation of the U-Net under a text, and guidance: the latents decoded with a gradient and the way back. Each row is
measured in a process of its own. "everything kept" rows leave out what bounds guidance: blocks whose activations are computed again on
the way back. Weights are in half precision (bf16), as on a small card; random ones cost what trained ones cost.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from benchmarks._shared import alone, peak, protocol, table
from unveil.networks.diffusers_networks import AutoencoderKL

UNET = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True,
}  # fmt: skip
SMALL_UNET = UNET | {
    "block_out_channels": (32, 64, 64, 64),
    "attention_head_dim": (1, 2, 2, 2),
    "cross_attention_dim": 32,
}
VAE = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 2, "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "norm_num_groups": 32,
}  # fmt: skip
SMALL_VAE = {**VAE, "block_out_channels": [32, 32, 32, 32]}
PARTS = ("evaluation", "guidance", "guidance, everything kept")
TOKENS = 77


def single(part: str, side: int, small: bool) -> dict[str, Any]:
    """One part of a step on a photograph of side x side, and what it took beyond the weights."""
    torch.manual_seed(0)
    evaluation = part == PARTS[0]
    module = _unet(SMALL_UNET if small else UNET) if evaluation else _vae(SMALL_VAE if small else VAE, part)
    z = torch.randn(1, 4, side // 8, side // 8, dtype=torch.bfloat16)
    text = torch.zeros(2, TOKENS, module.config.cross_attention_dim, dtype=z.dtype) if evaluation else None

    def step() -> None:
        if evaluation:
            with torch.no_grad():
                out = module(z.expand(2, -1, -1, -1), torch.full((2,), 500), text).sample
        else:
            z.requires_grad_()
            (out,) = torch.autograd.grad(module.decode(z).float().square().mean(), z)
        assert bool(torch.isfinite(out).all())

    return {**peak(step), "weight_bytes": sum(p.numel() * p.element_size() for p in module.parameters())}


def _unet(sizes: dict[str, Any]) -> Any:
    from diffusers import UNet2DConditionModel

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # never twice the memory, not even while it is built
    try:
        return UNet2DConditionModel(**sizes).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def _vae(sizes: dict[str, Any], part: str) -> Any:
    vae = AutoencoderKL(sizes).to(torch.bfloat16).eval().requires_grad_(False)
    vae.recompute(part == "guidance")
    return vae


def measure(given: Namespace) -> dict[str, Any]:
    rows = [
        {"part": part, "side": side, **alone("zeroshot_memory", given.threads, part, side, given.quick)}
        for side in ([64] if given.quick else given.sizes)
        for part in PARTS
    ]
    about = {
        "dtype": "bf16", "batch": "1; two texts in one batch for the evaluation",
        "model": "the shape of Stable Diffusion 2.1: U-Net of diffusers, autoencoder of this package, random weights",
        "peak": "resident, beyond weights and latents",
    }  # fmt: skip
    return {"protocol": protocol(given, **about), "rows": rows}


def show(result: dict[str, Any]) -> str:
    head = ("part of a step, photograph", "peak beyond the weights (MiB)", "weights (MiB)", "processor time (s)")
    body = []
    for row in result["rows"]:
        sizes = (f"{row[key] / 2**20:,.0f}" for key in ("peak_bytes", "weight_bytes"))
        body.append([f"{row['part']}, {row['side']} x {row['side']}", *sizes, f"{row['processor_seconds']:.0f}"])
    return table(head, body)


OPTIONS = {"--sizes": ((256, 512), "sides of the photographs")}
