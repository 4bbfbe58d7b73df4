"""From two images and a protocol to the arrays that every metric of that protocol is taken on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unveil.errors import InputError
from unveil.evaluation.arrays import as_image, as_mask, as_numpy, crop_border, round_to, size_text
from unveil.evaluation.protocol import Protocol
from unveil.evaluation.resize import resize


@dataclass(frozen=True)
class Prepared:
    """prediction, target: float64 in [0, 1], one shape; mask: bool (H, W) or None; notes: what a reader of the number should know."""

    prediction: np.ndarray
    target: np.ndarray
    mask: np.ndarray | None
    notes: tuple[str, ...]


def prepare(prediction: Any, target: Any, protocol: Protocol, mask: Any = None) -> Prepared:
    """Scale, resize, round and crop a pair as the protocol says.

    prediction, target: (H, W[, 3]), see `as_image`. mask: (H, W), nonzero in the shadow; needed if the protocol's region is not
    "all". The two sizes must agree, except that under a protocol with a size either image may already have that size.
    Raises InputError if they do not, or for images that cannot be scored.
    """
    notes = _depth_notes(prediction, target)
    floats = protocol.data_range if protocol.data_range != (0.0, 1.0) else None
    images = []
    for name, image in (("prediction", prediction), ("target", target)):
        whole_numbers = np.issubdtype(as_numpy(image).dtype, np.integer)
        images.append(as_image(image, name=name, data_range=None if whole_numbers else floats))
    sizes = [image.shape[:2] for image in images]
    if sizes[0] != sizes[1] and protocol.size not in sizes:
        raise InputError(
            f"prediction is {size_text(images[0])} and target is {size_text(images[1])}; "
            "sizes must agree: nothing is resized to make a number"
        )
    if images[0].ndim != images[1].ndim:
        images = [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in images]
        notes.append("grey repeated to compare with colour")
    done = [
        crop_border(round_to(resize(image, protocol.resize, protocol.size), protocol.rounding), protocol.border)
        for image in images
    ]
    region = _region(mask, sizes[1], protocol)
    if done[0].min() == done[0].max():
        notes.append("prediction is constant")
    if done[1].min() == done[1].max():
        notes.append("target is constant")
    return Prepared(done[0], done[1], region, tuple(notes))


def _depth_notes(prediction: Any, target: Any) -> list[str]:
    types = [as_numpy(image).dtype for image in (prediction, target)]
    if types[0] == types[1]:
        return []
    return [f"prediction is {types[0]} and target is {types[1]}: each scaled by its own depth"]


def _region(mask: Any, size: tuple[int, ...], protocol: Protocol) -> np.ndarray | None:
    """The part that counts, (H, W) bool, or None for all of it. A resized mask counts as shadow wherever it is not exactly 0."""
    if protocol.region == "all":
        return None
    if mask is None:
        raise InputError(f"the {protocol.region} region needs a mask for every image")
    plane = as_numpy(mask)
    plane = plane.max(axis=2) if plane.ndim == 3 else plane
    if plane.shape not in (tuple(size), protocol.size):
        raise InputError(f"mask is {size_text(plane)} and the images are {size[1]}x{size[0]}; sizes must agree")
    if plane.dtype == np.bool_ or plane.max() <= 1:
        plane = (plane > 0) * np.uint8(255)
    shadow = round_to(resize(as_image(plane, name="mask"), protocol.resize, protocol.size), "8bit") > 0
    region = crop_border(shadow if protocol.region == "shadow" else ~shadow, protocol.border)
    return as_mask(region, region.shape)
