"""What is counted in less time is what was counted before, and what torch and numpy count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.models import describer
from unveil.networks import counting
from unveil.networks.classifier import DegradationClassifier, _at_once, statistics
from unveil.networks.photometry import QUANTILES, measures

BEFORE = json.loads((Path(__file__).parent / "counted.json").read_text())
"""What both counted of `scene`, by its size, when they sorted everything and pooled by torch."""


def scene(height: int, width: int) -> Tensor:
    """A slope, a wave and blocks in colour, 8 bits: every number has something to tell."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grain = (rows * 7919 + columns * 104729) % 101 / 101
    red = rows / height * 0.8 + 0.1 * torch.sin(columns / 5) + 0.1 * grain
    green = 0.5 + 0.4 * torch.sin(rows / 9 + columns / 31) + 0.05 * grain
    blue = (rows // 8 + columns // 8) % 5 / 4 * 0.9
    return (torch.stack([red, green, blue]).clamp(0, 1) * 255).round() / 255


@pytest.mark.parametrize("size", list(BEFORE))
def test_the_numbers_about_a_photograph_are_those_of_before(size: str) -> None:
    height, width = map(int, size.split("x"))
    image = scene(height, width)
    counted = statistics(image).numpy()
    if size == "1x1":  # the deviation of one number is none
        assert np.isnan(counted).tolist() == np.isnan(BEFORE[size]["statistics"]).tolist()
    assert counted == pytest.approx(np.array(BEFORE[size]["statistics"]), abs=1e-5, nan_ok=True)
    assert measures(image).numpy() == pytest.approx(np.array(BEFORE[size]["measures"]), abs=1e-5)


VALUES = {
    "drawn": np.random.default_rng(0).random((37, 211), dtype=np.float32),
    "levels": np.random.default_rng(1).integers(0, 9, (64, 64)).astype(np.float32) / 255,
    "one far away": np.append(np.random.default_rng(2).random(5000, np.float32) * 1e-6, np.float32(1)),
    "equal": np.full(100, np.float32(0.3)),
    "negative": np.random.default_rng(3).normal(size=999).astype(np.float32),
    "two": np.array([0.25, 0.75], np.float32),
    "one": np.array([0.5], np.float32),
}


@pytest.mark.parametrize("name", list(VALUES))
def test_quantiles_and_medians_are_exact(name: str) -> None:
    values = VALUES[name]
    shares = (0.0, *QUANTILES, 1.0)
    wanted = np.quantile(values, np.array(shares, np.float32))
    assert counting.quantiles(values, shares) == pytest.approx(wanted, abs=1e-7)
    assert counting.median(values) == torch.from_numpy(values).median().item()


@pytest.mark.parametrize(
    ("size", "side"), [((40, 53), (9, 9)), ((256, 256), (9, 9)), ((5, 30), (5, 9)), ((1, 1), (1, 1))]
)
def test_windows_are_those_of_torch_bit_for_bit(size: tuple[int, int], side: tuple[int, int]) -> None:
    values = np.random.default_rng(4).random(size, dtype=np.float32)
    images = torch.from_numpy(values)[None, None]
    assert np.array_equal(counting.greatest(values, side, 4), F.max_pool2d(images, side, stride=4)[0, 0].numpy())
    assert np.array_equal(counting.means(values[None], side, 4), F.avg_pool2d(images, side, stride=4)[0].numpy())


def trained(**settings: Any) -> DegradationClassifier:
    """A network whose normalisation has seen something."""
    torch.manual_seed(0)
    net = DegradationClassifier(("noise", "haze", "lowlight", "clean"), 16, **settings)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.5, 2)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("settings", [{}, {"statistics": True, "asked": 6}])
def test_folded_networks_say_what_they_said(settings: dict[str, Any]) -> None:
    net, image = trained(**settings), scene(190, 260)
    ask = (lambda: torch.linspace(-1, 1, 6)) if settings else None
    folded = net.folded()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert folded.probabilities(image, ask) == pytest.approx(net.probabilities(image, ask), abs=1e-6)


def test_half_precision_moves_probabilities_by_little() -> None:
    speaker = describer.shipped()
    pixels = scene(300, 523).permute(1, 2, 0).numpy()
    whole = speaker.describe(pixels).probabilities
    half = speaker.describe(pixels, torch.bfloat16).probabilities
    assert max(abs(whole[k] - half[k]) for k in whole) < 0.02
    assert half != whole


@pytest.mark.parametrize("size", [(64, 64), (256, 300), (530, 70)])
def test_counting_beside_the_looks_gives_the_same_bits(size: tuple[int, int]) -> None:
    network, image = describer.shipped()._folded, scene(*size)
    assert network is not None
    threads = torch.get_num_threads()
    with torch.inference_mode():
        network = network(torch.float32)
        looks = [
            network.far(scene(128, 128)[None])
        ]  # what two threads compute may differ in last digits, so it stays out
        measured = []
        try:
            for count in (1, 2):
                torch.set_num_threads(count)
                measured.append(_at_once(lambda: looks[0], lambda: statistics(image), lambda: measures(image)))
        finally:
            torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*measured, strict=True))


def test_an_error_beside_the_looks_is_raised() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            _at_once(lambda: 1, lambda: 1 / 0)
    finally:
        torch.set_num_threads(threads)
