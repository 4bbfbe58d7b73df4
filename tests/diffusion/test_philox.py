"""The counter-based generator: published vectors, windows, moments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.diffusion.noise import normals, philox
from unveil.errors import InputError

# Random123's own known answers (tests/kat_vectors, philox4x32 with ten rounds): counter, key, result.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS, ids=["zeros", "ones", "pi"])
def test_published_vectors(counter: str, key: str, result: str) -> None:
    k0, k1 = words(key)
    given = tuple(torch.tensor([word]) for word in words(counter))
    assert [int(word) for word in philox(given, (k0, k1))] == words(result)  # type: ignore[arg-type]


def test_products_are_those_of_whole_numbers() -> None:
    """Against the round written with Python's own integers, which do not end at 64 bits."""

    def by_hand(counter: list[int], key: list[int]) -> list[int]:
        for _ in range(10):
            a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
            low = 0xFFFFFFFF
            counter = [b >> 32 ^ counter[1] ^ key[0], b & low, a >> 32 ^ counter[3] ^ key[1], a & low]
            key = [key[0] + 0x9E3779B9 & low, key[1] + 0xBB67AE85 & low]
        return counter

    drawn = np.random.default_rng(0).integers(0, 1 << 32, (50, 4))
    found = torch.stack(philox(tuple(torch.from_numpy(c.copy()) for c in drawn.T), (7, 1 << 31)), 1)  # type: ignore[arg-type]
    assert found.tolist() == [by_hand(row, [7, 1 << 31]) for row in drawn.tolist()]


@pytest.mark.parametrize("window", [(0, 0, 5, 7), (3, 11, 40, 61), (119, 299, 1, 1), (60, 0, 60, 300)])
def test_any_window_is_the_same_part_of_the_whole(window: tuple[int, int, int, int]) -> None:
    top, left, height, width = window
    whole = normals(5, 2, 0, 0, 120, 300, 3)
    assert torch.equal(normals(5, 2, *window, 3), whole[:, top : top + height, left : left + width])


def test_channels_do_not_depend_on_how_many_follow() -> None:
    assert torch.equal(normals(1, 0, 0, 0, 9, 8, 6)[:3], normals(1, 0, 0, 0, 9, 8, 3))


def test_seed_step_and_channel_each_make_other_noise() -> None:
    shape = (0, 0, 64, 64, 6)
    drawn = [normals(*key, *shape) for key in ((0, 0), (1, 0), (0, 1), (1 << 32, 0), (2**53 - 1, 0))]
    flat = torch.cat([d.flatten(1) for d in drawn])
    correlation = torch.corrcoef(flat) - torch.eye(len(flat))
    assert correlation.abs().max() < 0.08  # five standard deviations of 4096 pairs


def test_numbers_are_normal() -> None:
    z = normals(3, 1, 0, 0, 400, 500, 3).double().flatten()
    assert z.mean().abs() < 5 / len(z) ** 0.5
    assert z.var() == pytest.approx(1, abs=5 * (2 / len(z)) ** 0.5)
    assert (z**4).mean() == pytest.approx(3, abs=5 * (96 / len(z)) ** 0.5)
    assert z.isfinite().all()


@pytest.mark.parametrize(
    "bad", [(0, -1, 0, 0, 4, 4, 3), (0, 0, -1, 0, 4, 4, 3), (0, 0, 0, 0, 0, 4, 3), (0, 1 << 32, 0, 0, 4, 4, 3)]
)
def test_no_window_no_noise(bad: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="no noise"):
        normals(*bad)
