"""Built with their defaults the networks have the published sizes; counted on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unveil.networks.blocks import Attention, LinearAttention
from unveil.networks.conditional_unet import ConditionalUNet, daclip_unet, wild_unet
from unveil.networks.nafnet import ConditionalNAFNet
from unveil.networks.rddm_unet import SharedEncoderUNet, UNet, UNetPair


@pytest.mark.parametrize(
    ("build", "parameters", "tensors"),
    [
        (UNet, 36_261_187, 276),
        (partial(UNet, mask_channels=2), 36_267_459, 276),
        (UNetPair, 72_522_374, 552),
        (SharedEncoderUNet, 51_980_614, 396),
        (ConditionalUNet, 137_147_523, 151),
        (daclip_unet, 48_975_747, 224),
        (wild_unet, 49_470_467, 221),
        (ConditionalNAFNet, 76_608_387, 668),
    ],
    ids=["resfusion", "resfusion-mask", "rddm-pair", "rddm-shared", "irsde", "daclip", "wild", "refusion"],
)
def test_parameters_and_tensors(build: Callable[[], nn.Module], parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        state = build().state_dict()
    assert sum(value.numel() for value in state.values()) == parameters
    assert len(state) == tensors


@pytest.mark.parametrize(
    ("build", "gigas"),
    [
        (UNet, 117.48),
        (partial(UNet, mults=(1, 2, 4)), 96.7),
        (partial(UNet, mults=(1, 2, 4, 4)), 97.9),
        (partial(UNet, 96), 257.9),
        (partial(UNet, 128), 452.7),
        (ConditionalUNet, 379.3),
        (ConditionalNAFNet, 63.2),
    ],
)
def test_multiply_adds_at_256(build: Callable[[], nn.Module], gigas: float) -> None:
    """Convolutions and linear layers, to the digits known of the official networks."""
    with torch.device("meta"):
        net, x, t = build(), torch.zeros(1, 3, 256, 256), torch.zeros(1)
    products: list[int] = []  # of attention: multiply-adds of what is computed with what is computed, and in no layer

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        _, dim, height, width = inputs[0].shape
        pixels = height * width
        if isinstance(layer, LinearAttention):
            hidden = layer.to_out[0].in_channels
            products.append(hidden * hidden // layer.heads * (pixels + dim))
        elif isinstance(layer, Attention):
            products.append(2 * pixels**2 * layer.to_out.in_channels)

    for layer in net.modules():
        if isinstance(layer, Attention | LinearAttention):
            layer.register_forward_pre_hook(note)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x, x, t)
    counts = counter.get_flop_counts()["Global"]
    aten = torch.ops.aten
    macs = sum(counts.get(op, 0) for op in (aten.convolution, aten.addmm, aten.mm, aten.bmm)) / 2 - sum(products)
    assert macs / 1e9 == pytest.approx(gigas, abs=0.06)
