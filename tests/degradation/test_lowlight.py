from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.lowlight import ELECTRONS, lowlight
from unveil.degradation.primitives import srgb_to_linear


def residual(x: Tensor, generator: torch.Generator, severity: float) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Measured noise in linear light, the variance the docstring states for it, and the parameters."""
    y, p = lowlight(x, generator, severity)
    level = srgb_to_linear(x) * (p["illumination"] * p["cast"] / p["factor"]).clamp_max(1)
    stated = p["gain"] * level / ELECTRONS + (p["gain"] * p["read"] / ELECTRONS) ** 2
    return srgb_to_linear(y.pow(1 / p["gamma"])) - level, stated, p


def test_noise_has_the_stated_variance_and_grows_with_the_gain(generator: torch.Generator) -> None:
    noise, stated, p = residual(torch.full((48, 3, 48, 48), 0.75), generator, 0.0)
    gain = p["gain"].flatten()
    variance = noise.square().mean((1, 2, 3))
    # Below a gain of 3 the rounding to 8 bits is no longer small beside the noise.
    ratio = (variance / stated.mean((1, 2, 3)))[gain > 3]
    assert len(ratio) > 15
    assert ratio.min() > 0.88
    assert ratio.max() < 1.15
    assert variance[gain > 8].mean() > 3 * variance[gain < 2].mean()


def test_brightness_falls_by_the_factor(photographs: Tensor, generator: torch.Generator) -> None:
    for severity, factor in ((0.0, 3.0), (1.0, 40.0)):
        y, p = lowlight(photographs, generator, severity)
        torch.testing.assert_close(p["factor"], torch.full((8, 1, 1, 1), factor))
        ratio = srgb_to_linear(photographs).mean() / srgb_to_linear(y.pow(1 / p["gamma"])).mean()
        # Lamps, cast and clipped noise move single samples, the batch by less than a third.
        assert 0.67 < ratio / factor < 1.33


def test_strong_low_light_is_as_dark_as_night_photographs(photographs: Tensor, generator: torch.Generator) -> None:
    y, _ = lowlight(photographs, generator, 0.8)
    assert y.mean() < 0.12


def test_the_result_has_eight_bits(photographs: Tensor, generator: torch.Generator) -> None:
    y, _ = lowlight(photographs, generator)
    assert ((y * 255) - (y * 255).round()).abs().max() < 1e-4
    assert len((lowlight(photographs, generator, 1.0)[0]).unique()) < 128
