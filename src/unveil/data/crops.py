"""Crops as a pure function of (seed, step): no generator state to save, no dependence on the number of workers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.data.photographs import Photograph
from unveil.data.store import Unreadable
from unveil.errors import InputError

TURNS = (0.7, 0.1, 0.1, 0.1)
"""How often a crop is turned by 0, 1, 2 or 3 quarters."""
_TRIES = 1000  # draws without a single readable photograph before a set is given up


def rng(seed: int, *keys: int) -> np.random.Generator:
    """A generator that depends on (seed, keys) alone."""
    return np.random.default_rng(np.random.SeedSequence([seed % 2**63, *keys]))


def to_tensor(crop: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))).float() / 255


def _reduced(crop: Tensor, size: int) -> Tensor:
    if crop.shape[-1] == size:
        return crop
    return F.interpolate(crop[None], size=(size, size), mode="bilinear", antialias=True)[0]


def cut(pixels: np.ndarray, top: int, left: int, size: int) -> np.ndarray:
    """(size, size, 3) from (top, left); a photograph smaller than the crop is mirrored at its edge."""
    out = pixels[top : top + size, left : left + size]
    short = (size - out.shape[0], size - out.shape[1])
    if max(short) > 0:
        out = np.pad(out, ((0, max(0, short[0])), (0, max(0, short[1])), (0, 0)), mode="symmetric")
    return out


def _readable(
    photographs: list[Photograph], generator: np.random.Generator
) -> tuple[Photograph, tuple[np.ndarray, np.ndarray | None]]:
    """A random photograph and its pixels. One that cannot be decoded is replaced by another draw; too many raise InputError.

    Which files are unreadable does not depend on when they are met, so neither does what is drawn instead.
    """
    for _ in range(_TRIES):
        photo = photographs[int(generator.integers(len(photographs)))]
        try:
            return photo, (photo.clean.pixels(), None if photo.degraded is None else photo.degraded.pixels())
        except Unreadable:
            photo.clean.store.check()
    raise InputError(f"none of {_TRIES} photographs drawn can be read; the last was {photo.clean.path}")


def crops(
    photographs: list[Photograph], count: int, size: int, generator: np.random.Generator, reach: int = 0
) -> tuple[Tensor, Tensor | None]:
    """The first two of `told_crops`."""
    clean, degraded, _ = told_crops(photographs, count, size, generator, reach)
    return clean, degraded


def told_crops(
    photographs: list[Photograph], count: int, size: int, generator: np.random.Generator, reach: int = 0
) -> tuple[Tensor, Tensor | None, list[Photograph]]:
    """(clean, degraded, of which photographs): the first two (count, 3, size, size) in [0, 1], randomly placed, flipped and turned;
    degraded None without pairs.

    reach: above `size`, a crop shows between half and all of `reach` pixels of the photograph along one side (never more than its
    short side or less than `size`), reduced to `size` with antialiasing.
    """
    clean: list[Tensor] = []
    degraded: list[Tensor] = []
    drawn: list[Photograph] = []
    for _ in range(count):
        photo, both = _readable(photographs, generator)
        drawn.append(photo)
        height, width = both[0].shape[:2]
        side = size
        if reach > size:
            most = max(size, min(reach, height, width))
            side = int(generator.integers(max(size, most // 2), most + 1))
        top = int(generator.integers(max(1, height - side + 1)))
        left = int(generator.integers(max(1, width - side + 1)))
        flip, turns = bool(generator.integers(2)), int(generator.choice(4, p=TURNS))
        for pixels, out in zip(both, (clean, degraded), strict=True):
            if pixels is not None:
                piece = np.rot90(cut(pixels, top, left, side), turns)
                out.append(_reduced(to_tensor(piece[:, ::-1] if flip else piece), size))
    return torch.stack(clean), torch.stack(degraded) if degraded else None, drawn
