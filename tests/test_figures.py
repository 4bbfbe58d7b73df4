from __future__ import annotations

import numpy as np
import pytest

from unveil import figures


def test_side_by_side_holds_every_pixel() -> None:
    left, right = (np.random.default_rng(i).integers(0, 256, (20, 30, 3)).astype(np.float32) / 255 for i in (0, 1))
    sheet = np.asarray(figures.side_by_side([left, right], ["a", "b"]))
    assert sheet.shape[1] == 2 * 30 + 4
    assert np.array_equal(sheet[-20:, :30], np.rint(left * 255).astype(np.uint8))
    assert np.array_equal(sheet[-20:, 34:], np.rint(right * 255).astype(np.uint8))


def test_deviation_map_brightens_with_the_deviation() -> None:
    std = np.linspace(0, 0.2, 64, dtype=np.float32)[None, :, None].repeat(48, 0).repeat(3, 2)
    sheet = np.asarray(figures.deviation(std, scale=0.2).convert("L")).astype(int)
    line = sheet[24, :64]
    assert line[0] < line[16] < line[32] < line[48] < line[63]


def test_colour_bar_runs_from_the_scale_at_the_top_to_zero() -> None:
    sheet = np.asarray(figures.deviation(np.full((64, 40, 3), 0.1, np.float32), scale=0.1))
    bar = sheet[:, 40 + 8 + 10].astype(int).sum(axis=1)
    assert bar[0] > bar[32] > bar[-1]
    # A map that is everywhere at the scale has the colour at the top of the bar.
    assert np.array_equal(sheet[20, 20], sheet[0, 40 + 8 + 10])


def test_any_size_down_to_one_pixel() -> None:
    assert figures.deviation(np.zeros((1, 1, 3), np.float32)).height == 1
    assert figures.side_by_side([np.zeros((1, 1, 3), np.float32)], ["x"]).width == 1


def tinted(sheet: np.ndarray) -> np.ndarray:
    """Where a picture is not grey."""
    return np.ptp(sheet.astype(int), axis=-1) > 1


def test_overlay_tints_where_the_draws_disagree_and_only_there() -> None:
    image = np.random.default_rng(0).random((40, 60, 3)).astype(np.float32)
    std = np.zeros((40, 60, 3), np.float32)
    std[10:30, 20:40] = 0.2
    sheet = np.asarray(figures.overlay(image, std))[:40, :60]
    assert tinted(sheet)[10:30, 20:40].all()
    reach = 2
    outside = np.ones((40, 60), bool)
    outside[10 - reach : 30 + reach, 20 - reach : 40 + reach] = False
    assert not tinted(sheet)[outside].any()


def test_overlay_of_a_sure_model_is_the_grey_photograph() -> None:
    image = np.random.default_rng(1).random((32, 32, 3)).astype(np.float32)
    sheet = np.asarray(figures.overlay(image, np.full((32, 32, 3), 3.9 / 255, np.float32)))[:32, :32]
    luma = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert (
        np.abs(sheet - 255 * luma[..., None]) < 0.5 + 1e-4
    ).all()  # products of float32 round as the processor adds them up


def test_overlay_goes_from_yellow_to_red_and_never_hides_the_photograph() -> None:
    std = np.linspace(0, 30 / 255, 64, dtype=np.float32)[None, :, None].repeat(32, 0).repeat(3, 2)
    sheet = np.asarray(figures.overlay(np.full((32, 64, 3), 0.5, np.float32), std)).astype(int)
    unsure, invented = sheet[16, 12], sheet[16, 60]
    assert unsure[1] > unsure[2] + 40  # yellow: green well above blue
    assert invented[0] > invented[1] + 80  # red: green gone
    dark, light = (
        np.asarray(figures.overlay(np.full((8, 8, 3), v, np.float32), np.ones((8, 8, 3)))) for v in (0.0, 1.0)
    )
    assert (light[4, 4].astype(int) - dark[4, 4] > 50).all()  # a quarter of the photograph's contrast is left


@pytest.mark.parametrize(("width", "lines"), [(1, 2), (200, 2), (600, 1)])
def test_the_legend_of_an_overlay_is_whole_at_any_width(width: int, lines: int) -> None:
    sheet = np.asarray(figures.overlay(np.zeros((4, width, 3), np.float32), np.ones((4, width, 3), np.float32)))
    assert sheet.shape[0] == 4 + 28 * lines
    legend = sheet[4:]
    assert (legend[:, -3:] == 255).all(), "its words end before the sheet does"
    ink = [(np.abs(legend.astype(int) - np.rint(255 * tint)).sum(-1) <= 3).any() for tint in figures._TINTS]
    assert ink == [True, True]


def test_overlay_in_bands_is_the_overlay_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    image, std = (generator.random((23, 19, 3)).astype(np.float32) * s for s in (1, 0.1))
    whole = np.asarray(figures.overlay(image, std))
    for rows in (1, 7, 22):
        monkeypatch.setattr(figures, "_ROWS", rows)
        assert np.array_equal(np.asarray(figures.overlay(image, std)), whole)


def test_a_caption_stands_below_the_map_in_as_many_lines_as_it_takes() -> None:
    std = np.full((20, 60, 3), 0.1, np.float32)
    plain, short, long = (figures.deviation(std, caption=c) for c in ("", "words", "many words " * 12))
    assert plain.width == short.width == long.width
    assert plain.height < short.height < long.height
    assert np.array_equal(np.asarray(short)[: plain.height], np.asarray(plain))
    assert (np.asarray(long)[plain.height :] < 128).any(), "nothing is written"
