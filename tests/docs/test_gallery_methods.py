"""The sheet of every method: every picture in its place, and methods left out where they have nothing to say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import gallery_methods as gallery
from unveil.zeroshot.methods import METHODS
from unveil.zeroshot.operators import parse


def test_every_method_has_a_row() -> None:
    assert set(METHODS) <= set(gallery.ROWS)


def test_pictures_stand_in_their_row_and_column() -> None:
    grey = {("wild", "noise"): 0.25, ("original", "blur"): 0.5}
    pictures = {place: np.full((8, 8, 3), value, np.float32) for place, value in grey.items()}
    page = np.asarray(gallery.sheet(pictures, {"wild": {"noise": 12.0}}))
    for (row, column), value in grey.items():
        top = (
            gallery.LINE + 2 * gallery.GAP + list(gallery.ROWS).index(row) * (gallery.TILE + gallery.LINE + gallery.GAP)
        )
        left = gallery.LABEL + list(gallery.DAMAGES).index(column) * (gallery.TILE + gallery.GAP)
        assert (page[top : top + gallery.TILE, left : left + gallery.TILE] == round(value * 255)).all()


def test_the_blur_is_the_operator_that_methods_are_told() -> None:
    x = gallery.example("astronaut.jpg")
    y = gallery.blurred(x)
    x_planes = torch.from_numpy(x.transpose(2, 0, 1).copy())[None]
    operator = parse(gallery.DAMAGES["blur"].operator).build(x_planes, x.shape[:2])
    soft = operator.apply(x_planes)[0].permute(1, 2, 0).numpy()
    inside = (y - soft)[(y > 0.1) & (y < 0.9)]  # what was not clipped
    assert abs(float(inside.std()) - gallery.GRAIN) < 0.1 * gallery.GRAIN  # nothing but the grain is left


@pytest.mark.parametrize(
    ("row", "column"), [("classical", "blur"), ("tao", "blur"), ("dps", "haze"), ("pigdm", "lowlight")]
)
def test_a_method_without_a_word_for_the_damage_is_left_out(row: str, column: str) -> None:
    assert gallery.restorer(row, gallery.DAMAGES[column], 0.1) is None
