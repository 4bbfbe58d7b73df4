from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unveil.errors import InputError
from unveil.photo import tiles
from unveil.util.tensors import mirror

NUMBERS = st.fixed_dictionaries(
    {
        "height": st.integers(1, 600), "width": st.integers(1, 600), "tile": st.integers(0, 300), "overlap": st.integers(0, 80),
        "multiple_of": st.sampled_from([1, 2, 8, 16, 64]), "margin": st.sampled_from([None, 0, 1, 7, 100]),
    }
)  # fmt: skip


def planned(numbers: dict) -> list[tiles.Tile]:
    unit = numbers["multiple_of"]
    assume(numbers["tile"] == 0 or max(1, numbers["tile"] // unit) > -(-numbers["overlap"] // unit))
    return tiles.plan(**numbers)


@settings(max_examples=80, deadline=None)
@given(NUMBERS)
def test_equal_aligned_tiles_cover_everything_and_share_enough(numbers: dict) -> None:
    found = planned(numbers)
    unit = numbers["multiple_of"]
    height, width = tiles.canvas(numbers["height"], numbers["width"], unit)
    covered = np.zeros((height, width), int)
    assert len({(t.height, t.width) for t in found}) == 1
    for t in found:
        assert min(t.top, t.left) >= 0
        assert t.top + t.height <= height
        assert t.left + t.width <= width
        assert all(edge % unit == 0 for edge in (t.top, t.left, t.height, t.width))
        covered[t.window] += 1
    assert covered.min() >= 1
    if numbers["tile"]:
        assert max(found[0].height, found[0].width) <= max(numbers["tile"], unit)
    for start, side in (("left", "width"), ("top", "height")):
        edges = sorted({getattr(t, start) for t in found})
        for a, b in zip(edges, edges[1:], strict=False):
            assert a + getattr(found[0], side) - b >= numbers["overlap"]


@settings(max_examples=80, deadline=None)
@given(NUMBERS)
def test_weights_are_a_partition_of_unity(numbers: dict) -> None:
    found = planned(numbers)
    total = np.zeros(tiles.canvas(numbers["height"], numbers["width"], numbers["multiple_of"]), np.float32)
    for t in found:
        weight = tiles.weights(t)
        assert weight.dtype == np.float32
        assert weight.shape == (t.height, t.width)
        assert weight.min() >= 0
        total[t.window] += weight
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(NUMBERS)
def test_no_pixel_within_the_margin_of_an_inner_edge_counts(numbers: dict) -> None:
    found = planned(numbers)
    height, width = tiles.canvas(numbers["height"], numbers["width"], numbers["multiple_of"])
    margin = numbers["overlap"] // 4 if numbers["margin"] is None else min(numbers["margin"], numbers["overlap"] // 2)
    for t in found:
        weight = tiles.weights(t)
        if margin:
            assert t.top == 0 or not weight[:margin].any()
            assert t.left == 0 or not weight[:, :margin].any()
            assert t.top + t.height == height or not weight[-margin:].any()
            assert t.left + t.width == width or not weight[:, -margin:].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (130, 7), (97, 161)])
@pytest.mark.parametrize("stride", [1, 4])
def test_a_network_in_tiles_equals_the_network_in_one_piece(size: tuple[int, int], stride: int) -> None:
    """Convolutions that see 7 pixels far, or a strided pair that works on a grid of 4, with overlap for their field of view."""
    generator = torch.Generator().manual_seed(0)
    if stride == 1:
        network = torch.nn.Sequential(
            *[torch.nn.Conv2d(1, 1, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(1, 1, 11, padding=5)]
        )
        margin = 7
    else:
        network = torch.nn.Sequential(
            torch.nn.Conv2d(1, 3, 8, 4, padding=2), torch.nn.ReLU(), torch.nn.ConvTranspose2d(3, 1, 8, 4, padding=2)
        )
        margin = 12
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3, generator=generator)
    height, width = tiles.canvas(*size, stride)
    image = torch.rand(*size, generator=generator)
    image = image[mirror(size[0], 0, height - size[0])][:, mirror(size[1], 0, width - size[1])]
    with torch.no_grad():
        whole = network(image[None, None])[0, 0]
        found = tiles.plan(*size, 64, 4 * margin, stride)
        blended = torch.zeros_like(whole)
        for t in found:
            blended[t.window] += torch.from_numpy(tiles.weights(t)) * network(image[t.window][None, None])[0, 0]
    assert len(found) > 1 or max(size) <= 64
    torch.testing.assert_close(blended, whole, rtol=0, atol=1e-5)


def test_senseless_numbers_are_refused() -> None:
    for numbers in ((0, 5, 8, 2), (5, 5, -1, 2), (5, 5, 8, -1), (5, 5, 8, 2, 0)):
        with pytest.raises(InputError, match="cannot tile"):
            tiles.plan(*numbers)
    with pytest.raises(InputError, match="not longer than their overlap"):
        tiles.plan(500, 500, 64, 64)
