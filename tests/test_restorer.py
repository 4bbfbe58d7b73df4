from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.errors import Cancelled, InputError
from unveil.restorer import Restorer
from unveil.testing import tiny_model


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(tiny_model(), device="cpu")


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def test_same_seed_same_pixels_and_draws_do_not_depend_on_their_number(restorer: Restorer) -> None:
    y = picture()
    three = restorer.restore(y, samples=3, seed=5)
    assert np.array_equal(three.samples, restorer.restore(y, samples=3, seed=5).samples)
    assert np.array_equal(three.samples[0], restorer.restore(y, seed=5).samples[0])
    assert not np.array_equal(three.samples[0], three.samples[1])
    assert not np.array_equal(three.samples[0], restorer.restore(y, seed=6).samples[0])


def test_mean_and_std_are_those_of_the_draws(restorer: Restorer) -> None:
    out = restorer.restore(picture(), samples=4)
    assert np.allclose(out.mean, out.samples.mean(0), atol=1e-6)
    assert out.std is not None
    assert np.allclose(out.std, out.samples.std(0, ddof=1), atol=1e-6)
    assert restorer.restore(picture()).std is None


def test_full_fidelity_has_no_spread(restorer: Restorer) -> None:
    out = restorer.restore(picture(), samples=2, fidelity=1.0)
    assert np.array_equal(out.samples[0], out.samples[1])


def test_strength_blends_the_residual(restorer: Restorer) -> None:
    y = picture()
    full = restorer.restore(y).image
    assert np.array_equal(restorer.restore(y, strength=0.0).image, y)
    assert np.allclose(restorer.restore(y, strength=0.25).image, y + 0.25 * (full - y), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 3), (33, 65)])
def test_any_size(restorer: Restorer, size: tuple[int, int]) -> None:
    out = restorer.restore(picture(*size))
    assert out.image.shape == (*size, 3)
    assert np.isfinite(out.image).all()


def test_all_kinds_of_input_agree(restorer: Restorer, tmp_path: Path) -> None:
    eight = (picture() * 255).round().astype(np.uint8)
    Image.fromarray(eight).save(tmp_path / "p.png")
    expected = restorer.restore(eight).image
    tensor = torch.from_numpy(eight.astype(np.float32) / np.float32(255)).permute(2, 0, 1)
    for given in (
        tmp_path / "p.png",
        str(tmp_path / "p.png"),
        Image.fromarray(eight),
        eight.astype(np.float32) / 255,
        tensor,
        tensor[None],
    ):
        assert np.allclose(restorer.restore(given).image, expected, atol=1e-5)
    sixteen = eight.astype(np.uint16) * 257
    assert np.allclose(restorer.restore(sixteen).image, expected, atol=1e-5)


def test_callback_sees_every_evaluation_and_can_cancel(restorer: Restorer) -> None:
    seen: list[tuple[int, int]] = []
    restorer.restore(picture(), samples=2, callback=lambda p: seen.append((p.index, p.steps)))
    assert seen == [(i, 5) for i in range(5)] * 2
    with pytest.raises(Cancelled):
        restorer.restore(picture(), callback=lambda p: p.index == 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be between 1 and 5"),
        ({"steps": 6}, "steps must be between 1 and 5"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"fidelity": 1.5}, "fidelity"),
        ({"strength": -0.1}, "strength"),
        ({"solver": "euler"}, "ancestral"),
        ({"grid": "square"}, "grid"),
        ({"resolution": "up"}, "coarse_to_fine"),
    ],
)
def test_settings_out_of_range(restorer: Restorer, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        restorer.restore(picture(), **settings)


@pytest.mark.parametrize("bad", [torch.zeros(2, 3, 8, 8), torch.zeros(8, 8), object(), 3.0])
def test_what_is_no_image(restorer: Restorer, bad: object) -> None:
    with pytest.raises(InputError):
        restorer.restore(bad)


def test_devices_and_dtypes_that_are_not_there() -> None:
    with pytest.raises(InputError, match="device"):
        Restorer(tiny_model(), device="abacus")
    with pytest.raises(InputError, match="dtype"):
        Restorer(tiny_model(), device="cpu", dtype="int8")


def test_protocol_says_how_to_get_the_same_pixels(restorer: Restorer) -> None:
    y = picture()
    out = restorer.restore(y, steps=3, seed=9, solver="2m", fidelity=0.5)
    kept = {
        k: out.protocol[k] for k in ("grid", "steps", "solver", "fidelity", "resolution", "strength", "samples", "seed")
    }
    assert np.array_equal(restorer.restore(y, **kept).image, out.image)


def test_low_stage_decides_the_colour_of_a_large_photograph() -> None:
    restorer = Restorer(tiny_model(low=16), device="cpu")
    sizes: list[tuple[int, ...]] = []
    restorer.restore(picture(64, 48), callback=lambda p: sizes.append(tuple(p.x0_hat.shape[-2:])))
    assert sizes == [(16, 12)] * 3 + [(64, 48)] * 2
