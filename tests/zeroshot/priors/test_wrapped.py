"""Tiles of a prior against the whole, and the memory that they save."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from unveil.zeroshot.priors import TiledPrior


def local(factor: int = 4) -> Any:
    """A prior that looks at each latent alone, and writes down the sizes that it saw."""
    sizes: list[tuple[int, int]] = []

    def seen(z: Tensor) -> Tensor:
        sizes.append((int(z.shape[-2]), int(z.shape[-1])))
        return z

    return SimpleNamespace(
        factor=factor, multiple_of=2 * factor, name="local", sizes=sizes,
        denoise=lambda z, t, condition, guidance: 2.0 * seen(z) ** 2,
        encode=lambda x: seen(x)[..., ::factor, ::factor] + 1,
        decode=lambda z: seen(z).repeat_interleave(factor, -1).repeat_interleave(factor, -2) ** 2,
    )  # fmt: skip


def test_a_local_prior_is_the_same_in_tiles() -> None:
    plain, tiled = local(), TiledPrior(local(), 32)
    z, x = torch.randn(2, 4, 22, 18), torch.randn(1, 3, 88, 72)
    torch.testing.assert_close(tiled.denoise(z, 3), plain.denoise(z, 3, None, 1.0))
    torch.testing.assert_close(tiled.encode(x), plain.encode(x))
    torch.testing.assert_close(tiled.decode(z), plain.decode(z))
    assert max(max(s) for s in tiled.prior.sizes) <= 32
    assert tiled.name == "local"


def test_gradients_pass_through_tiles() -> None:
    tiled = TiledPrior(local(), 32)
    z = torch.randn(1, 4, 20, 12, requires_grad=True)
    weight = torch.randn(1, 4, 80, 48)
    (g,) = torch.autograd.grad((tiled.decode(z) * weight).sum(), z)
    expected = 2 * z * torch.nn.functional.avg_pool2d(weight, 4) * 16
    torch.testing.assert_close(g, expected.detach(), rtol=1e-4, atol=1e-4)


def test_what_fits_into_a_tile_is_not_cut() -> None:
    tiled = TiledPrior(local(), 256)
    z = torch.randn(1, 4, 8, 8)
    tiled.denoise(z, 3)
    assert tiled.prior.sizes == [(8, 8)]
