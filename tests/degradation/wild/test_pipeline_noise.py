from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from unveil.degradation.wild.pipeline import add_gaussian, add_poisson, poisson, poisson_of, poisson_rate


def stored_order(draws: np.ndarray) -> torch.Tensor:
    """numpy draws for (h, w, 3) in blue, green, red to (3, h, w), and for (h, w) to (1, h, w)."""
    values = torch.from_numpy(draws).float()
    return values.flip(2).permute(2, 0, 1) if values.ndim == 3 else values[None]


@pytest.mark.shared
@pytest.mark.parametrize("grey", [False, True])
def test_the_published_noises_with_their_own_draws(parts, grey: bool) -> None:
    image = parts("img").float()
    h, w = image.shape[1:]
    name = "gray" if grey else "color"
    normal = np.random.RandomState(5).normal(0, 1, (h, w) if grey else (h, w, 3))
    noisy = add_gaussian(image, stored_order(normal), 10 / 255)
    torch.testing.assert_close(noisy, parts(f"gauss_{name}_s10_seed5").float(), rtol=0, atol=1e-5)

    levels, photons = poisson_rate(image, grey)
    assert photons == 256
    rate = (levels * photons).double().numpy()
    # The draws consume the generator pixel by pixel, in blue, green, red.
    counts = np.random.RandomState(5).poisson(rate[0] if grey else rate[::-1].transpose(1, 2, 0))
    noisy = add_poisson(image, stored_order(counts.astype(float)), levels, photons, 0.3)
    torch.testing.assert_close(noisy, parts(f"poisson_{name}_0.3_seed5").float(), rtol=0, atol=1e-5)


def test_photons_at_white_are_the_number_of_tones_to_a_power_of_two() -> None:
    x = (torch.arange(75).reshape(3, 5, 5) % 5).float() / 255
    assert poisson_rate(x, grey=False)[1] == 8
    assert poisson_rate(torch.full((3, 4, 4), 0.2), grey=False)[1] == 1


def drawn(rate: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return poisson_of(rate, torch.randn(rate.shape, generator=generator), torch.rand(rate.shape, generator=generator))


@pytest.mark.parametrize("draw", [poisson, drawn])
@pytest.mark.parametrize("rate", [0.0, 0.3, 5.0, 15.9, 16.0, 40.0, 256.0])
def test_poisson_draws_are_poisson(rate: float, draw: Callable[[torch.Tensor, torch.Generator], torch.Tensor]) -> None:
    """The share of each count against its probability: total variation within what n draws of the truth would show."""
    n = 100_000
    counts = draw(torch.full((n,), rate), torch.Generator().manual_seed(3)).long().numpy()
    top = int(counts.max()) + 1
    share, truth = np.bincount(counts, minlength=top) / n, stats.poisson.pmf(np.arange(top), rate)
    expected = np.sqrt(2 * truth * (1 - truth) / (np.pi * n)).sum() / 2
    assert np.abs(share - truth).sum() / 2 < 1.3 * expected + 0.002
    assert counts.mean() == pytest.approx(rate, abs=4 * (rate / n) ** 0.5 + 1e-9)
    assert counts.var() == pytest.approx(rate, rel=0.02, abs=1e-9)
