"""Fields, outlines and the light under a shadow."""

from __future__ import annotations

import numpy as np
import pytest

from unveil.data.faceshadow import (
    COVERAGE,
    SILHOUETTES,
    blur,
    cast,
    draw,
    octaves,
    outline,
    patches,
    perlin,
    scattered,
    silhouette,
    softened,
    stretched,
    to_linear,
    to_srgb,
)

SIDE = 64


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_perlin_noise_is_smooth_and_zero_at_its_lattice() -> None:
    field = perlin(rng(), 256, 4)
    assert np.abs(np.diff(field, axis=0)).max() < 0.1
    assert np.abs(field).max() <= 1.0 + 1e-9
    assert np.abs(field[[0, 64, 128, 192]][:, [0, 64, 128, 192]]).max() < 0.05  # half a pixel from the lattice points
    assert field.std() > 0.2
    assert np.array_equal(octaves(rng(3), 32, 2, 1), perlin(rng(3), 32, 2))
    assert (stretched(field).min(), stretched(field).max()) == (0, 1)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 6.0, 40.0])
def test_blur_keeps_constants_and_the_mean_of_mirrored_images(sigma: float) -> None:
    assert blur(np.ones((SIDE, SIDE)), sigma) == pytest.approx(1.0, abs=1e-12)
    image = rng(1).random((SIDE, SIDE))
    assert blur(image, sigma).mean() == pytest.approx(image.mean(), abs=1e-9)
    assert blur(image, sigma).std() <= image.std()


def test_blur_has_the_width_it_says() -> None:
    point = np.zeros((65, 65))
    point[32, 32] = 1
    out = blur(point, 3.0)
    offset = np.arange(65) - 32
    assert (out.sum(axis=1) * offset**2).sum() == pytest.approx(9.0, rel=1e-2)


@pytest.mark.parametrize("shape", SILHOUETTES, ids=lambda s: s.__name__)
def test_every_silhouette_has_an_inside_and_an_outside(shape) -> None:  # type: ignore[no-untyped-def]
    centre = (np.arange(SIDE) + 0.5) / SIDE
    signs = [shape(rng(i), centre[:, None], centre[None, :]) > 0 for i in range(12)]
    assert all(s.shape == (SIDE, SIDE) for s in signs)
    assert sum(bool(s.any() and not s.all()) for s in signs) >= 8  # a thing may miss the picture


def test_outlines_cover_what_they_should_and_are_of_both_kinds() -> None:
    drawn = [outline(rng(i), SIDE) for i in range(40)]
    assert {kind for _, kind in drawn} == {"silhouette", "patches"}
    for mask, _ in drawn:
        assert mask.shape == (SIDE, SIDE)
        assert 0 <= mask.min() <= mask.max() <= 1
        assert COVERAGE[0] - 0.05 <= mask.mean() <= COVERAGE[1] + 0.05
    assert silhouette(rng(5), SIDE).shape == patches(rng(5), SIDE).shape


def test_softness_varies_over_the_face_and_red_scatters_farthest() -> None:
    half = np.zeros((128, 128))
    half[:, 64:] = 1
    steepness = [
        np.abs(np.diff(softened(rng(i), half), axis=1)).max(axis=1) for i in range(10)
    ]  # of the edge, row by row
    assert sum(rows.max() > 1.3 * rows.min() for rows in steepness) >= 3
    red, green, blue = (np.abs(np.diff(scattered(rng(2), half)[:, :, c], axis=1)).max() for c in range(3))
    assert red < green < blue


def test_transfer_functions_invert_each_other() -> None:
    x = np.linspace(0, 1, 256)
    assert to_srgb(to_linear(x)) == pytest.approx(x, abs=1e-9)


def test_a_shadow_never_brightens_and_leaves_the_unshaded_part_alone() -> None:
    face = rng(4).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    changed = 0
    for i in range(12):
        shadow = draw(rng(i), SIDE)
        dark = cast(face, shadow)
        assert (dark <= face).all()
        assert np.array_equal(dark[shadow.mask.max(axis=2) < 1e-9], face[shadow.mask.max(axis=2) < 1e-9])
        changed += int((dark < face).any())
        assert 0 < shadow.light.min() <= shadow.light.max() < 1
    assert changed == 12


def test_a_draw_is_a_function_of_the_generator() -> None:
    one, again, other = (draw(rng(s), SIDE) for s in (7, 7, 8))
    assert np.array_equal(one.mask, again.mask)
    assert np.array_equal(one.light, again.light)
    assert not np.array_equal(one.mask, other.mask)
