from __future__ import annotations

import numpy as np

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
