from __future__ import annotations

import numpy as np
import pytest

from unveil.photo import content
from unveil.photo.content import Box, _window, as_grey, is_black, is_grey, void, within_bars


def picture(height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.9, (height, width, 3)).astype(np.float32)


def test_bars_are_found_on_any_side() -> None:
    framed = np.zeros((100, 120, 3), np.float32)
    framed[20:80, 15:95] = picture()
    assert within_bars(framed) == Box(20, 80, 15, 95)
    framed[:20] = 6 / 255  # video black
    assert within_bars(framed) == Box(20, 80, 15, 95)


@pytest.mark.parametrize("value", [0.0, 0.03, 0.5, 1.0])
def test_an_even_frame_has_no_bars(value: float) -> None:
    assert within_bars(np.full((40, 50, 3), value, np.float32)) == Box(0, 40, 0, 50)


def test_a_dark_edge_with_something_in_it_is_no_bar() -> None:
    dark = picture() * 0.02
    dark[30:] = picture()[30:]
    dark[3, 40] = 0.1
    assert within_bars(dark).top == 3
    assert within_bars(picture()) == Box(0, 60, 0, 80)


def test_grey_is_exact() -> None:
    grey = np.repeat(picture()[..., :1], 3, axis=2)
    assert is_grey(grey)
    grey[5, 5, 2] += 1 / 255
    assert not is_grey(grey)
    back = as_grey(grey)
    assert is_grey(back)
    assert back[0, 0, 0] == pytest.approx(grey[0, 0].mean())


def test_only_black_that_hides_nothing_is_void() -> None:
    y = np.zeros((40, 60, 3), np.float32)
    y[:, 30:] = 0.2
    share = void(y)[..., 0]
    assert share.shape == (40, 60)
    assert (share[:, :9] == 1).all()
    assert (share[:, 26:] == 0).all()
    assert np.abs(np.diff(share, axis=1)).max() < 0.15  # no edge where black begins
    faint = np.zeros((40, 60, 3), np.float32)
    faint[::4, ::4] = 8 / 255  # a dark scene with structure
    assert (void(faint) == 0).all()


def test_specks_of_black_are_no_void() -> None:
    """Where one dark leaf is lifted and its black neighbour is not, a patchwork is seen."""
    y = np.full((256, 256, 3), 0.05, np.float32)
    for top, left in ((20, 30), (90, 140), (200, 60)):
        y[top : top + 14, left : left + 14] = 0
    assert (void(y) == 0).all()
    y[:, 200:] = 0
    share = void(y)[..., 0]
    assert (share[:, 225:] == 1).all()
    assert (share[:, :200] == 0).all()


def test_one_pixel() -> None:
    assert void(np.zeros((1, 1, 3), np.float32)).shape == (1, 1, 1)
    assert within_bars(np.zeros((1, 1, 3), np.float32)) == Box(0, 1, 0, 1)


@pytest.mark.parametrize("side", [1, 2, 3, 9, 12])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (25, 7)])
def test_windows_hold_the_maximum_around_each_pixel(side: int, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).random(shape)
    before, after = side // 2, side - side // 2
    for row, column in np.ndindex(shape):
        part = values[max(row - before, 0) : row + after, max(column - before, 0) : column + after]
        assert _window(values, side)[row, column] == part.max()


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_a_bar_on_one_side_is_found(edge: str) -> None:
    framed = picture()
    at = {"top": np.s_[:12], "bottom": np.s_[-12:], "left": np.s_[:, :12], "right": np.s_[:, -12:]}[edge]
    framed[at] = 0
    whole = {"top": 0, "bottom": 60, "left": 0, "right": 80}
    inner = {"top": 12, "bottom": 48, "left": 12, "right": 68}
    assert within_bars(framed) == Box(**(whole | {edge: inner[edge]}))


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (9, 9), (13, 30), (31, 22)])
def test_no_dark_window_is_overlooked(shape: tuple[int, int]) -> None:
    """Only some pixels are looked at first: wherever a window is dark, one of them is."""
    height, width = shape
    for row in range(height):
        for column in range(width):
            bright = np.ones((height, width, 3), np.float32)
            bright[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = 0.0
            assert void(bright).shape == (height, width, 1)
            assert _looks_further(bright), (row, column)
    assert not _looks_further(np.ones((height, width, 3), np.float32))


@pytest.mark.parametrize(
    "place", [(0, 0), (0, 329), (319, 0), (319, 329), (150, 329), *((k, k + 2) for k in range(30, 50))]
)
def test_no_dark_area_is_overlooked(place: tuple[int, int]) -> None:
    """The smallest that is left black in a larger photograph: 21 pixels wide after windows of 9, half of that at an edge."""
    bright = np.ones((320, 330, 3), np.float32)
    bright[5::10, 5::10] = bright[102:109, 102:109] = 0.0
    assert not _looks_further(bright)
    top, left = (max(0, at - 14) for at in place)
    bright[top : place[0] + 15, left : place[1] + 15] = 0.0
    assert _looks_further(bright)


def _looks_further(pixels: np.ndarray) -> bool:
    """At every pixel."""

    def window(values: np.ndarray, side: int) -> np.ndarray:
        if values.dtype != bool:
            raise LookupError
        return _window(values, side)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(content, "_window", window)
        try:
            void(pixels)
        except LookupError:
            return True
    return False


@pytest.mark.parametrize("size", [(1, 1), (9, 300), (130, 170)])
def test_what_a_lens_cap_leaves_is_black(size: tuple[int, int]) -> None:
    counted = np.random.default_rng(0).poisson(1.0, (*size, 3)).astype(np.float32) / 255
    if min(size) > 16:
        counted[size[0] // 2, size[1] // 2] = 1  # a hot pixel
    assert is_black(np.zeros((*size, 3), np.float32))
    assert is_black(counted) or min(size) == 1


def test_what_is_dark_is_not_black() -> None:
    """A photograph in a fortieth of its values, and black with something faint in one corner."""
    assert not is_black(picture(100, 120) * 0 + np.linspace(0.0, 1 / 40, 120, dtype=np.float32)[None, :, None])
    corner = np.zeros((100, 120, 3), np.float32)
    corner[:20, :20] = 3 / 255
    assert not is_black(corner)
    assert not is_black(picture())
