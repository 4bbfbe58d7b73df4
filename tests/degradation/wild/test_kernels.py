from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unveil.degradation.wild import kernels
from unveil.degradation.wild.kernels import shake, under_display

CANVAS = 23


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cut(kernel: Tensor, size: int) -> Tensor:
    r = size // 2
    return kernel[CANVAS // 2 - r : CANVAS // 2 + r + 1, CANVAS // 2 - r : CANVAS // 2 + r + 1]


def family(name: str, size: int) -> Tensor:
    """The kernel with the parameters of the stored ones."""
    n = torch.tensor([size])
    round_one = kernels.distance(CANVAS, column(1.3), column(1.3), column(0.0))
    long_one = kernels.distance(CANVAS, column(1.7), column(0.6), column(0.7))
    made = {
        "iso": lambda: kernels.gaussian(n, CANVAS, round_one, column(1.0)),
        "aniso": lambda: kernels.gaussian(n, CANVAS, long_one, column(1.0)),
        "gen_iso": lambda: kernels.gaussian(n, CANVAS, round_one, column(0.7)),
        "gen_aniso": lambda: kernels.gaussian(n, CANVAS, long_one, column(1.6)),
        "plateau_iso": lambda: kernels.plateau(n, CANVAS, round_one, column(1.2)),
        "plateau_aniso": lambda: kernels.plateau(n, CANVAS, long_one, column(1.4)),
        "defocus": lambda: kernels.defocus(n, CANVAS),
        "box": lambda: kernels.box(n, CANVAS),
        "sinc": lambda: kernels.sinc(n, CANVAS, column(math.pi / 2.5)),
    }[name]()
    return made[0]


NAMES = ["iso", "aniso", "gen_iso", "gen_aniso", "plateau_iso", "plateau_aniso", "defocus", "box", "sinc"]


@pytest.mark.shared
@pytest.mark.parametrize("size", [5, 7, 9, 13, 21])
@pytest.mark.parametrize("name", NAMES)
def test_the_published_kernels(parts, name: str, size: int) -> None:
    made = family(name, size)
    torch.testing.assert_close(cut(made, size), parts(f"{name}_{size}"), rtol=0, atol=1e-7)
    assert made.sum() == pytest.approx(1, abs=1e-12)
    assert cut(made, size).sum() == pytest.approx(1, abs=1e-12), "nothing stands outside its size"


@pytest.mark.shared
@pytest.mark.parametrize("size", [5, 9, 11])
@pytest.mark.parametrize("angle", [0, 30, 45, 90, 120, 170])
def test_the_published_lines(parts, size: int, angle: int) -> None:
    directions = 4 * (size // 2)
    nearest = min(range(directions), key=lambda k: abs(angle - 180 * k / directions))
    torch.testing.assert_close(kernels.line(size, nearest), parts(f"line_{size}_{angle}"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [3, 5, 9, 15])
def test_every_line_passes_the_centre_and_is_another(size: int) -> None:
    lines = [kernels.line(size, k) for k in range(4 * (size // 2))]
    assert all(line[size // 2, size // 2] > 0 for line in lines)
    assert all(int((line > 0).sum()) == size for line in lines)
    assert len({tuple(line.flatten().tolist()) for line in lines}) == len(lines)


def test_each_sample_has_its_own_size_and_shape() -> None:
    sizes = torch.tensor([5, 19])
    squared = kernels.distance(CANVAS, column(1.0, 3.0), column(1.0, 1.0), column(0.0, math.pi / 2))
    both = kernels.gaussian(sizes, CANVAS, squared, column(1.0, 1.0))
    assert torch.equal((both > 0).sum((1, 2)), sizes**2)
    r = torch.arange(CANVAS).double() - CANVAS // 2
    across, down = ((both[1].sum(axis) * r**2).sum() for axis in (0, 1))
    assert down > 2 * across, "turned by 90 degrees the long axis stands upright"


@pytest.mark.parametrize("size", [5, 17, 29])
def test_synthetic_shakes_are_kernels_about_the_centre(size: int) -> None:
    made = torch.stack([shake(size, seed) for seed in range(20)])
    torch.testing.assert_close(made.sum((1, 2)), torch.ones(20, dtype=torch.float64))
    assert (made >= 0).all()
    r = torch.arange(size).double() - size // 2
    assert ((made.sum(2) * r).sum(1)).abs().max() < 0.5
    assert ((made.sum(1) * r).sum(1)).abs().max() < 0.5
    spread = (made.sum(1) * r**2).sum(1) + (made.sum(2) * r**2).sum(1)
    assert spread.min() > (0.15 * size) ** 2
    assert torch.equal(made[3], shake(size, 3))


def test_a_display_spreads_red_further_than_blue() -> None:
    made = torch.stack([under_display(41, seed) for seed in range(10)])
    torch.testing.assert_close(made.sum((2, 3)), torch.ones(10, 3, dtype=torch.float64))
    assert (made[:, :, 20, 20] == made.amax((2, 3))).all()
    r = torch.arange(41).double() - 20
    spread = (made.sum(2) * r**2).sum(2) + (made.sum(3) * r**2).sum(2)
    assert (spread[:, 0] > spread[:, 2]).all()
