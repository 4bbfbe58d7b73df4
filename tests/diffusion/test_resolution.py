from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.diffusion import cubic, linear_pro, residual, sample
from unveil.diffusion.resolution import OFF, READINGS, SWITCHES, Resolution, resize, transfer
from unveil.errors import InputError

Images = Callable[..., tuple[Tensor, Tensor, Tensor]]
FIVE = residual(linear_pro(12))
F64 = torch.float64


def test_hourglass_is_full_half_quarter_half_full() -> None:
    sizes = Resolution("hourglass").sizes(5, (64, 96))
    assert sizes == [(64, 96), (32, 48), (16, 24), (32, 48), (64, 96)]


def test_coarse_to_fine_is_low_while_t_is_over_half() -> None:
    """Over five steps t = 5, 4, 3 are low, 2 and 1 native; `low` is the long side."""
    assert Resolution(low=32).sizes(5, (64, 96)) == [(21, 32)] * 3 + [(64, 96)] * 2
    assert Resolution(low=32).sizes(5, (96, 64)) == [(32, 21)] * 3 + [(96, 64)] * 2
    assert Resolution(low=32).sizes(4, (64, 96)) == [(21, 32)] * 2 + [(64, 96)] * 2


def test_off_is_native_throughout() -> None:
    assert OFF.sizes(5, (64, 96)) == [(64, 96)] * 5


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5), (17, 31), (160, 90), (161, 1)])
@pytest.mark.parametrize("reading", READINGS)
def test_sizes_for_any_photograph_and_number_of_steps(reading: str, size: tuple[int, int]) -> None:
    for steps in (1, 2, 3, 4, 5, 8, 37):
        sizes = Resolution(reading, low=7).sizes(steps, size)
        assert len(sizes) == steps
        assert sizes[-1] == size
        assert all(1 <= h <= size[0] and 1 <= w <= size[1] for h, w in sizes)
        if reading == "hourglass":
            assert sizes == sizes[::-1]
        if reading == "coarse_to_fine":
            assert sizes == sorted(sizes)


def test_small_photographs_are_not_reduced() -> None:
    assert Resolution(low=160).sizes(5, (160, 90)) == [(160, 90)] * 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reading": "fine_to_coarse"}, "unknown reading of dynamic resolution 'fine_to_coarse'; known are off"),
        ({"switch": "noise"}, "unknown switch 'noise'; known are residual, guided, image, state"),
        ({"low": 0}, "at least one pixel, got 0"),
    ],
)
def test_unusable_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Resolution(**settings)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 5), (9, 13), (16, 16)])
@pytest.mark.parametrize("low", [(1, 1), (1, 3), (2, 3), (5, 4)])
def test_the_switch_keeps_the_detail_of_y_where_the_residual_is_constant(
    low: tuple[int, int], size: tuple[int, int], images: Images
) -> None:
    """Up or down, odd sizes, one pixel: exact to rounding, while resizing the image loses what y knows."""
    _, y, _ = images(*size)
    offset = torch.tensor([0.3, -0.2, 0.1], dtype=F64).view(1, 3, 1, 1)
    small = resize(y, low)
    for switch in ("residual", "guided"):
        got = transfer(small - offset, small, y, switch)
        torch.testing.assert_close(got, y - offset, rtol=0, atol=1e-14)
        down = transfer(y - offset, y, small, switch)
        torch.testing.assert_close(down, small - offset, rtol=0, atol=1e-14)
    if low[0] < size[0] and low[1] < size[1]:
        assert (transfer(small - offset, small, y, "image") - (y - offset)).abs().max() > 0.1


def test_the_guided_switch_gives_what_was_dark_its_contrast(images: Images) -> None:
    """A clean image that is c (y + 1) - 1 has c times y's contrast in every detail, of which the reduced photograph shows a part."""
    coarse, fine = images(12, 12)[1], images(64, 64)[1]
    y = (resize(coarse, (64, 64)) + 0.3 * fine).mean(1, keepdim=True).expand(-1, 3, -1, -1) / 4 - 0.7
    small = resize(y, (16, 16))
    got = {switch: transfer(3 * (small + 1) - 1, small, y, switch) for switch in ("residual", "guided")}
    wanted = 3 * (y + 1) - 1
    error = {switch: float((x - wanted).abs().mean()) for switch, x in got.items()}
    assert error["guided"] < 0.7 * error["residual"]


def test_the_guided_switch_leaves_no_halo_along_an_edge() -> None:
    """The dark half of a photograph is lifted, the bright half is not: beside the edge every pixel is what its half is."""
    y = torch.full((1, 3, 64, 64), -0.8)
    y[..., 30:] = 0.6
    clean = torch.where(y < 0, -0.2, y)
    small, small_clean = resize(y, (16, 16)), resize(clean, (16, 16))
    halo = {s: float((transfer(small_clean, small, y, s) - clean).abs().max()) for s in ("residual", "guided")}
    assert halo["residual"] > 0.25
    assert halo["guided"] < 0.02


def test_the_guided_switch_in_half_precision_is_that_of_single(images: Images) -> None:
    _, y, _ = images(32, 48)
    y = y.float()
    small = resize(y, (8, 12))
    got = transfer((small * 0.5).bfloat16(), small.bfloat16(), y.bfloat16(), "guided")
    assert got.dtype == torch.bfloat16
    assert (got.float() - transfer(small * 0.5, small, y, "guided")).abs().max() < 0.03


def test_the_switch_is_nearly_exact_where_the_residual_is_smooth(images: Images) -> None:
    """A residual with one slow wave over 64 pixels, a detailed y, a quarter of the size: 0.01 inside, 0.05 at the rim.

    (The rim is where bilinear interpolation has no neighbour to go by.)
    """
    _, y, _ = images(64, 64, 1)
    along = torch.linspace(-1, 1, 64, dtype=F64)
    x0 = y - 0.4 * torch.cos(2 * along[:, None] + along)
    lows = resize(x0, (16, 16)), resize(y, (16, 16))
    error = (transfer(*lows, y, "residual") - x0).abs()
    assert error.max() < 0.05
    assert error[..., 8:-8, 8:-8].max() < 0.01
    assert (transfer(*lows, y, "image") - x0).abs().mean() > 0.4


def test_resize_is_linear_keeps_constants_and_knows_its_size(images: Images) -> None:
    x, y, _ = images(9, 13)
    assert resize(x, (9, 13)) is x
    for size in ((3, 5), (20, 11), (1, 1)):
        torch.testing.assert_close(resize(2 * x - y, size), 2 * resize(x, size) - resize(y, size))
        torch.testing.assert_close(resize(torch.ones_like(x), size), torch.ones(2, 3, *size, dtype=F64))
        assert resize(x, size).shape == (2, 3, *size)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_every_pixel_counts_alike_when_an_image_shrinks(factor: int) -> None:
    """Antialiasing: without it, reducing by more than two skips pixels. (Away from the rim.)"""
    x = torch.zeros(1, 1, 64, 64, dtype=F64, requires_grad=True)
    (weight,) = torch.autograd.grad(resize(x, (64 // factor, 64 // factor)).sum(), x)
    inside = weight[..., 2 * factor : -2 * factor, 2 * factor : -2 * factor]
    torch.testing.assert_close(inside, torch.full_like(inside, 1 / factor**2), rtol=0, atol=1e-12)


def shown(resolution: Resolution, white: Callable[[int], Any], solver: str = "ancestral") -> list[tuple[int, Tensor]]:
    """(t, noise / s_t) of every state that a perfect predictor is shown, for a flat image and a flat residual."""
    y = torch.full((1, 1, 256, 256), 0.5, dtype=F64)
    states: list[tuple[int, Tensor]] = []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        x0 = y - 0.4
        known = y if t == FIVE.steps else x0
        states.append((t, (x - float(FIVE.alpha[t]) * known - float(FIVE.beta[t]) * y) / float(FIVE.sigma[t])))
        return x0

    sample(denoise, y, FIVE, white(3), solver=solver, resolution=resolution)
    return states


@pytest.mark.parametrize("switch", ["residual", "image"])
@pytest.mark.parametrize("reading", ["coarse_to_fine", "hourglass"])
def test_states_after_a_switch_are_states_of_the_path(reading: str, switch: str, white: Callable[[int], Any]) -> None:
    """Noise of the right level and white at every evaluation, within four standard errors."""
    for t, noise in shown(Resolution(reading, low=64, switch=switch), white):
        count = noise.numel()
        assert abs(float(noise.std()) - 1) < 4 / (2 * count) ** 0.5, t
        neighbours = float((noise[..., 1:] * noise[..., :-1]).mean())
        assert abs(neighbours) < 4 / count**0.5, t


def test_resizing_the_state_shrinks_and_correlates_its_noise(white: Callable[[int], Any]) -> None:
    """Doubling by bilinear weights 3/4, 1/4 leaves 0.625 of the variance an axis; here from 64 to 256 pixels."""
    resolution = Resolution("coarse_to_fine", low=64, switch="state")
    levels = dict(shown(resolution, white, "ddim"))
    assert float(levels[3].std()) == pytest.approx(1, abs=0.05)
    after = levels[2]
    # Weights (2i+1)/8 and 1 minus it, i = 0..3: mean of their squares' sums is 0.65625 an axis.
    assert float(after.var()) == pytest.approx(0.65625**2, abs=0.04)
    assert float((after[..., 1:] * after[..., :-1]).mean() / after.var()) > 0.7


def test_the_step_after_a_switch_forgets_the_noise_before_it(images: Images) -> None:
    """Fresh noise at the new size, whatever the solver; the estimate alone is carried over."""
    _, y, _ = images(16, 16, 1)
    resolution = Resolution("coarse_to_fine", low=8)
    seen: list[Tensor] = []

    def denoise(x: Tensor, y: Tensor, t: int) -> Tensor:
        seen.append(x)
        return y - 0.25

    def noise(index: int, like: Tensor) -> Tensor:
        return torch.full_like(like, float(index))

    for solver in ("ancestral", "ddim", "2m"):
        seen.clear()
        sample(denoise, y, FIVE, noise, solver=solver, resolution=resolution)
        expected = FIVE.forward(y - 0.25, y, 2, torch.full_like(y, 3.0))  # draw 3 precedes evaluation 3, at t = 2
        torch.testing.assert_close(seen[3], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (31, 17)])
@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("reading", READINGS)
def test_any_size_comes_back_as_it_went_in(reading: str, switch: str, size: tuple[int, int], images: Images) -> None:
    _, y, z = images(*size)
    for process in (FIVE, residual(cubic(2)), residual(cubic(4))):
        out = sample(
            lambda x, y, t: torch.tanh(y - 0.1 * x),
            y,
            process,
            lambda k, like: resize(z, (int(like.shape[-2]), int(like.shape[-1]))),
            resolution=Resolution(reading, low=4, switch=switch),
        )
        assert out.shape == y.shape
        assert out.isfinite().all()
