import pytest
import torch

from unveil.errors import InputError
from unveil.zeroshot.ldrps import TASKS, guess, noise_level, row


def scene() -> torch.Tensor:
    """A smooth coloured image (3, 96, 96) in [0, 1], mean 0.5."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 96), torch.linspace(0, 1, 96), indexing="ij")
    return torch.stack([x, y, 1 - x]).mul(0.6).add(0.2)


def test_noise_level_of_known_noise():
    noise = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))
    for sigma in (0.02, 0.1):
        assert noise_level(scene() + sigma * noise) == pytest.approx(sigma, rel=0.05)
    assert noise_level(scene()) < 0.005


def test_guesses():
    noise = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))
    grey = scene().mean(0, keepdim=True).expand(3, -1, -1)
    for image, expected in (
        (scene() * 0.2, "lowlight"),
        (scene() + 0.08 * noise, "denoise"),
        (0.3 * scene() + 0.6, "dehaze"),
        (grey, "colorize"),
    ):
        assert guess(2 * image - 1) == expected
        assert row("auto", 2 * image - 1) == (expected, TASKS[expected])


def test_a_name_is_taken_as_it_is_and_an_unknown_one_refused():
    assert row("dehaze", 2 * scene() - 1)[0] == "dehaze"
    with pytest.raises(InputError, match="auto, lowlight, dehaze, denoise, colorize"):
        row("deblur", scene())
