from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.degradation.primitives import convolve
from unveil.degradation.wild.pipeline import correlate, from_canvas, similar, to_canvas, wiener


def pictures(*sizes: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, h, w, generator=generator) for h, w in sizes]


def kernels(b: int, k: int) -> Tensor:
    made = torch.rand(b, k, k, generator=torch.Generator().manual_seed(1))
    return made / made.sum((1, 2), keepdim=True)


@pytest.mark.shared
def test_the_published_parts(parts) -> None:
    image = parts("img").float()
    blurred, sizes = to_canvas([image])
    blurred = correlate(blurred, sizes, parts("iso_7")[None])[0]
    torch.testing.assert_close(blurred, parts("blur_iso7").float(), rtol=0, atol=1e-6)
    torch.testing.assert_close(wiener(blurred, parts("iso_7")), parts("wiener_iso7").float(), rtol=0, atol=1e-5)
    soft = correlate(image[None], sizes, parts("defocus_5")[None])[0]
    torch.testing.assert_close(wiener(soft, parts("defocus_5")), parts("wiener_defocus5").float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 21])
def test_pictures_of_many_sizes_are_filtered_as_each_alone(k: int) -> None:
    many = pictures((40, 33), (7, 50), (1, 1), (12, 3))
    canvas, sizes = to_canvas(many)
    kernel = kernels(4, k)
    together = from_canvas(correlate(canvas, sizes, kernel), sizes)
    for picture, own, out in zip(many, kernel, together, strict=True):
        torch.testing.assert_close(out, convolve(picture[None], own[None])[0], rtol=0, atol=2e-6)


def test_a_kernel_for_each_channel() -> None:
    (picture,) = pictures((20, 24))
    kernel = kernels(3, 5)
    out = correlate(picture[None], torch.tensor([[20, 24]]), kernel[None])[0]
    for c in range(3):
        torch.testing.assert_close(out[c], convolve(picture[None, c : c + 1], kernel[c][None])[0, 0], rtol=0, atol=1e-6)


def test_deconvolution_of_a_sharp_picture_overshoots() -> None:
    edge = torch.zeros(3, 32, 32)
    edge[:, :, 16:] = 1
    ringing = wiener(edge, kernels(1, 5)[0])
    assert ringing.max() > 1.05
    assert ringing.min() < -0.05


def test_deconvolution_undoes_its_own_blur_where_the_blur_left_something() -> None:
    (picture,) = pictures((48, 48))
    smooth = convolve(picture[None], kernels(1, 9))
    blurred = convolve(smooth, kernels(1, 3))
    before = (blurred - smooth).square().mean()
    after = (wiener(blurred[0], kernels(1, 3)[0]) - smooth[0]).square().mean()
    assert after < 0.5 * before


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 50)])
def test_tiny_pictures_ring_too(size: tuple[int, int]) -> None:
    (picture,) = pictures(size)
    out = wiener(picture, kernels(1, 21)[0])
    assert out.shape == picture.shape
    assert out.isfinite().all()


def test_groups_hold_similar_areas_and_everybody() -> None:
    areas = np.random.default_rng(0).integers(50, 400, 60).tolist()
    groups = list(similar(areas, 8))
    assert sorted(i for group in groups for i in group) == list(range(60))
    for group in groups:
        assert len(group) <= 8
        assert min(areas[i] for i in group) >= 0.8 * max(areas[i] for i in group)
    assert all(len(group) == 1 for group in similar(areas, 1))
