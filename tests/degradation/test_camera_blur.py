from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.degradation.camera import BLUR_TYPES, blur
from unveil.degradation.primitives import convolve


@pytest.mark.parametrize("severity", [0.0, 0.5, 1.0])
def test_kernels_sum_to_one_and_leave_constants_alone(severity: float, generator: torch.Generator) -> None:
    x = torch.rand(24, 3, 1, 1, generator=generator).expand(24, 3, 20, 31)
    y, p = blur(x, generator, severity)
    torch.testing.assert_close(p["kernel"].sum((1, 2)), torch.ones(24), atol=1e-5, rtol=0)
    assert p["kernel"].min() >= 0
    assert set(p["type"].flatten().tolist()) == set(range(len(BLUR_TYPES)))
    torch.testing.assert_close(y, x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("severity", [0.4, 0.7, 1.0])
def test_extent_is_sigma_for_every_type(severity: float, generator: torch.Generator) -> None:
    _, p = blur(torch.zeros(32, 3, 2, 2), generator, severity)
    r = torch.arange(-13, 14).float()
    second = (p["kernel"] * (r.view(-1, 1) ** 2 + r.view(1, -1) ** 2)).sum((1, 2)) / 2
    # One pixel is the finest step of a disk's or a line's edge, and the longest Gaussians lose a little at the border.
    assert ((second.sqrt() - p["sigma"].flatten()).abs() < 0.1 * p["sigma"].flatten() + 0.05).all()


def test_the_correlation_is_the_direct_sum(generator: torch.Generator) -> None:
    x, kernel = torch.rand(2, 3, 9, 12, generator=generator), torch.rand(2, 5, 5, generator=generator)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    direct = torch.stack(
        [torch.nn.functional.conv2d(padded[i][:, None], kernel[i][None, None])[:, 0] for i in range(2)]
    )
    torch.testing.assert_close(convolve(x, kernel), direct, atol=1e-5, rtol=0)


def test_blur_takes_detail_and_keeps_the_mean(photographs: Tensor, generator: torch.Generator) -> None:
    y, _ = blur(photographs, generator, 1.0)
    assert (y.diff(dim=2).square().mean((1, 2, 3)) < photographs.diff(dim=2).square().mean((1, 2, 3))).all()
    assert (y.mean() - photographs.mean()).abs() < 0.03
