"""Convolution blocks of the published U-Nets: what is kept between calls, and what is folded for a batch of one, changes nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unveil.networks.blocks import ConvBlock, PointwiseConv2d, StandardizedConv2d


def standardised(weight: Tensor) -> Tensor:
    centred = weight - weight.mean((1, 2, 3), keepdim=True)
    return centred / (centred.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()


def features(batch: int, dim: int) -> Tensor:
    return torch.randn(batch, dim, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_kept_filters_follow_the_weights() -> None:
    torch.manual_seed(0)
    layer, x = StandardizedConv2d(4, 6, 3, padding=1).double(), features(1, 4)
    with torch.no_grad():
        for _ in range(2):
            expected = F.conv2d(x, standardised(layer.weight), layer.bias, padding=1)
            torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-12)  # from what was kept
            layer.weight.mul_(torch.rand_like(layer.weight))
        layer.weight.data = torch.randn_like(layer.weight)
        expected = F.conv2d(x, standardised(layer.weight), layer.bias, padding=1)
        torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-12)
        layer.float()
        assert layer(x.float()).dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x.float()).dtype == torch.bfloat16
        assert layer(x.float()).dtype == torch.float32


def test_training_differentiates_through_the_standardisation() -> None:
    torch.manual_seed(0)
    layer, x = StandardizedConv2d(2, 3, 3, padding=1).double(), features(1, 2)
    with torch.no_grad():
        layer(x)  # what is kept must not be used where gradients are asked for
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(layer, {"weight": w}, (x,)), layer.weight.detach().requires_grad_()
    )


def test_a_batch_of_one_is_modulated_as_a_larger_one() -> None:
    torch.manual_seed(0)
    block, x = ConvBlock(8, 16, normalised=True).double(), features(3, 8)
    torch.nn.init.normal_(block.norm.weight)
    torch.nn.init.normal_(block.norm.bias)
    scale, shift = torch.randn(2, 3, 16, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        alone = torch.cat([block(x[i : i + 1], scale[i : i + 1], shift[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(block(x, scale, shift), alone, rtol=1e-10, atol=1e-12)
        expected = F.silu(block.norm(block.proj(x)) * (scale + 1) + shift)
    torch.testing.assert_close(alone, expected, rtol=1e-10, atol=1e-12)


def test_a_pointwise_convolution_is_a_convolution() -> None:
    torch.manual_seed(0)
    layer, x = PointwiseConv2d(4, 6).double(), features(2, 4)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias), rtol=1e-10, atol=1e-12)
