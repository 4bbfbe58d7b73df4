from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from unveil.networks.blocks import Attention, LinearAttention, OneKeyAttention, SelfAttention


def tokens(x: Tensor) -> Tensor:
    """(1, heads * d, H, W) -> (heads, d, H * W) for 4 heads."""
    return x.reshape(4, x.shape[1] // 4, -1)


def features(seed: int = 0) -> Tensor:
    return torch.randn(1, 16, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_softmax_attention_is_the_textbook_formula() -> None:
    torch.manual_seed(0)
    layer, x = Attention(16).double(), features()
    q, k, v = (tokens(part) for part in layer.to_qkv(x).chunk(3, dim=1))
    weights = (q.transpose(1, 2) @ k / 32**0.5).softmax(dim=-1)
    expected = layer.to_out((weights @ v.transpose(1, 2)).transpose(1, 2).reshape(1, 128, 5, 6))
    torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-12)


def test_linear_attention_is_the_product_of_its_implied_matrix() -> None:
    torch.manual_seed(0)
    layer, x = LinearAttention(16).double(), features()
    q, k, v = (tokens(part) for part in layer.to_qkv(x).chunk(3, dim=1))
    matrix = q.softmax(dim=1).transpose(1, 2) @ k.softmax(dim=2)  # what the layer never builds: pixels x pixels
    out = (matrix @ v.transpose(1, 2)).transpose(1, 2) / (32**0.5 * 30)
    torch.testing.assert_close(layer(x), layer.to_out(out.reshape(1, 128, 5, 6)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_pixels_by_pixels_matrix(dtype: torch.dtype) -> None:
    """The flash kernel refuses inputs that it would have to hand to the quadratic one (such as a strided last axis)."""
    torch.manual_seed(0)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert Attention(16).to(dtype)(features().to(dtype)).isfinite().all()
        assert SelfAttention(64).to(dtype)(torch.randn(1, 30, 64, dtype=dtype)).isfinite().all()


def test_cross_attention_to_one_key_is_a_constant() -> None:
    torch.manual_seed(0)
    layer, x, context = OneKeyAttention(64, 24).double(), torch.randn(2, 30, 64).double(), torch.randn(2, 24).double()
    q, k, v = layer.to_q(x), layer.to_k(context)[:, None], layer.to_v(context)[:, None]
    q, k, v = (part.unflatten(-1, (2, 32)).transpose(1, 2) for part in (q, k, v))
    full = ((q @ k.transpose(-1, -2) / 32**0.5).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(context).expand(2, 30, 64), layer.to_out(full), rtol=1e-10, atol=1e-12)
