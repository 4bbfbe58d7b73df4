from __future__ import annotations

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.evaluation.evaluate import prepare
from unveil.evaluation.protocols import Protocol
from unveil.evaluation.resize import imresize

SMALL = Protocol(resize="matlab_bicubic", size=(64, 80), rounding="none")


def test_under_the_plain_protocol_nothing_but_rounding_happens(photo: np.ndarray) -> None:
    ready = prepare(photo / 255 * 0.999, photo, Protocol())
    assert np.array_equal(ready.prediction, np.rint(photo * 0.999) / 255)
    assert np.array_equal(ready.target, photo / 255)
    assert ready.mask is None
    assert "float64 and target is uint8" in ready.notes[0]


def test_resizing_is_the_protocols_for_both(photo: np.ndarray, noisy: np.ndarray) -> None:
    ready = prepare(noisy, photo, SMALL)
    assert np.array_equal(ready.prediction, np.clip(imresize(noisy / 255, size=(64, 80)), 0, 1))
    assert ready.target.shape == (64, 80, 3)


def test_an_image_may_already_have_the_protocols_size(photo: np.ndarray) -> None:
    small = np.clip(imresize(photo / 255, size=(64, 80)), 0, 1)
    ready = prepare(small, photo, SMALL)
    assert np.array_equal(ready.prediction, ready.target)


@pytest.mark.parametrize("protocol", [Protocol(), SMALL], ids=["native", "resized"])
def test_other_sizes_are_an_error(photo: np.ndarray, protocol: Protocol) -> None:
    with pytest.raises(InputError, match=r"prediction is 239x200, 3 channels and target is 240x200"):
        prepare(photo[:, 1:], photo, protocol)


def test_border_is_cut_after_resizing(photo: np.ndarray) -> None:
    assert prepare(photo, photo, SMALL.changed(border=4)).prediction.shape == (56, 72, 3)


def test_depths_are_scaled_apart_and_said(photo: np.ndarray) -> None:
    ready = prepare(photo.astype(np.uint16) * 257, photo, Protocol())
    assert np.array_equal(ready.prediction, ready.target)
    assert ready.notes == ("prediction is uint16 and target is uint8: each scaled by its own depth",)


def test_a_protocols_float_range_is_for_floats_only(photo: np.ndarray) -> None:
    ready = prepare(photo / 127.5 - 1, photo, Protocol(data_range=(-1.0, 1.0)))
    assert np.abs(ready.prediction - ready.target).max() < 1e-12
    with pytest.raises(InputError, match="prediction runs from -1 to 1"):
        prepare(photo / 127.5 - 1, photo, Protocol())


def test_grey_against_colour_and_constant_images_are_noted(photo: np.ndarray) -> None:
    ready = prepare(photo[..., 0], photo, Protocol())
    assert ready.prediction.shape == photo.shape
    assert "grey repeated" in ready.notes[0]
    assert prepare(photo * 0, photo, Protocol()).notes == ("prediction is constant",)
    assert prepare(photo, photo * 0 + 9, Protocol()).notes == ("target is constant",)


def test_regions_come_from_the_mask_and_every_touched_pixel_is_shadow(photo: np.ndarray) -> None:
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[:100] = 255
    shadow = prepare(photo, photo, Protocol(region="shadow"), mask)
    light = prepare(photo, photo, Protocol(region="non-shadow"), np.repeat(mask[..., None], 3, axis=2))
    assert shadow.mask is not None
    assert light.mask is not None
    assert np.array_equal(shadow.mask, mask > 0)
    assert np.array_equal(shadow.mask, ~light.mask)
    resized = prepare(photo, photo, SMALL.changed(region="shadow"), mask > 0)
    assert resized.mask is not None
    assert resized.mask.shape == (64, 80)
    assert resized.mask[:32].all()
    assert not resized.mask[35:].any()


def test_masks_that_are_missing_or_do_not_fit_are_refused(photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="shadow region needs a mask"):
        prepare(photo, photo, Protocol(region="shadow"))
    with pytest.raises(InputError, match="mask is 10x10"):
        prepare(photo, photo, Protocol(region="shadow"), np.ones((10, 10)))
    with pytest.raises(InputError, match="mask is empty"):
        prepare(photo, photo, Protocol(region="shadow"), np.zeros(photo.shape[:2]))
