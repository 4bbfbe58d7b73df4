"""The mean over turns and mirror images, against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unveil.diffusion.self_ensemble import SIZES, self_ensemble


def crooked(seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(6, 3, 3, padding=1, dtype=torch.float64)


def images(height: int = 9, width: int = 14) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "maps"),
    [
        (2, [lambda x: x.flip(-1)]),
        (4, [lambda x: x.rot90(2, (-2, -1)), lambda x: x.flip(-1), lambda x: x.flip(-2)]),
        (8, [lambda x: x.flip(-1), lambda x: x.rot90(1, (-2, -1)), lambda x: x.transpose(-2, -1)]),
    ],
)
def test_it_commutes_with_every_map_of_its_group(size: int, maps: list) -> None:
    net, (x_t, y) = crooked(), images()
    said = self_ensemble(lambda x_t, y, t: net(torch.cat([x_t, y], 1)), size)
    for turned in maps:
        assert torch.allclose(said(turned(x_t), turned(y), 3), turned(said(x_t, y, 3)), atol=1e-12)
        assert not torch.allclose(
            net(torch.cat([turned(x_t), turned(y)], 1)), turned(net(torch.cat([x_t, y], 1))), atol=1e-3
        )


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_of_a_convolution_it_is_the_convolution_with_the_mean_kernel(size: int) -> None:
    net, (x_t, y) = crooked(), images()
    kernel = net.weight
    group = [kernel, kernel.flip(-1), kernel.flip(-1, -2), kernel.flip(-2)]
    group += [k.transpose(-2, -1) for k in group]
    mean = nn.Conv2d(6, 3, 3, padding=1, dtype=torch.float64)
    mean.weight.copy_(torch.stack(group[:size]).mean(0))
    mean.bias.copy_(net.bias)  # type: ignore[arg-type, union-attr]
    said = self_ensemble(lambda x_t, y, t: net(torch.cat([x_t, y], 1)), size)(x_t, y, 0)
    assert torch.allclose(said, mean(torch.cat([x_t, y], 1)), atol=1e-12)


@torch.no_grad()
def test_its_squared_error_is_at_most_the_mean_of_theirs() -> None:
    net, (x_t, y) = crooked(), images(8, 8)
    truth = torch.zeros_like(y)
    answers = []
    whole = self_ensemble(lambda a, b, t: answers.append(net(torch.cat([a, b], 1))) or answers[-1], 8)(x_t, y, 0)
    assert len(answers) == 8
    assert (whole - truth).square().mean() < torch.stack([a.square().mean() for a in answers]).mean()
