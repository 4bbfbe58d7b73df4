"""Against torch's own interpolation, which agrees with OpenCV's on these two, and the definition of area."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.degradation.wild.pipeline import INTERPOLATIONS, from_canvas, resize, taps, to_canvas


def picture(h: int, w: int) -> Tensor:
    return torch.rand(3, h, w, generator=torch.Generator().manual_seed(h * 1000 + w))


def resized(x: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    return resize(x[None], torch.tensor([x.shape[-2:]]), torch.tensor([size]), [interpolation])[0]


@pytest.mark.parametrize("size", [(1, 1), (17, 23), (48, 56), (67, 80), (96, 112)])
@pytest.mark.parametrize(("interpolation", "mode"), [("linear", "bilinear"), ("cubic", "bicubic")])
def test_linear_and_cubic(interpolation: str, mode: str, size: tuple[int, int]) -> None:
    x = picture(48, 56)
    expected = F.interpolate(x[None], size=size, mode=mode, align_corners=False)[0]
    torch.testing.assert_close(resized(x, size, interpolation), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize(("n", "out"), [(48, 34), (56, 41), (30, 10), (7, 6), (5, 1), (9, 9)])
def test_area_is_the_mean_over_the_new_pixels_extent(n: int, out: int) -> None:
    line = picture(1, n)
    fine = np.repeat(line[0, 0].double().numpy(), out)  # n * out samples: each new pixel covers n of them
    got = resized(line, (1, out), "area")[0, 0]
    torch.testing.assert_close(got.double(), torch.from_numpy(fine.reshape(out, n).mean(1)), rtol=0, atol=1e-6)


def test_enlarging_by_area_repeats_pixels_with_a_seam() -> None:
    line = torch.tensor([0.0, 1.0, 0.0]).expand(3, 1, 3)
    got = resized(line, (1, 7), "area")[0, 0]
    torch.testing.assert_close(got, torch.tensor([0, 0, 2 / 3, 1, 2 / 3, 0, 0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("n", "out"), [(1, 1), (1, 9), (9, 1), (100, 71), (100, 200), (128, 91), (91, 128)])
def test_a_constant_stays_one(interpolation: str, n: int, out: int) -> None:
    index, weight = taps(n, out, interpolation)
    assert index.min() >= 0
    assert index.max() < n
    torch.testing.assert_close(weight.sum(0), torch.ones(out), rtol=0, atol=1e-6)


def test_a_canvas_of_many_is_each_alone() -> None:
    many = [picture(40, 33), picture(7, 50), picture(1, 1), picture(20, 20)]
    targets = [(20, 60), (14, 25), (3, 2), (20, 20)]
    ways = ["area", "cubic", "linear", "cubic"]
    canvas, sizes = to_canvas(many)
    out = from_canvas(resize(canvas, sizes, torch.tensor(targets), ways), torch.tensor(targets))
    for x, size, way, got in zip(many, targets, ways, out, strict=True):
        torch.testing.assert_close(got, resized(x, size, way), rtol=0, atol=1e-6)
