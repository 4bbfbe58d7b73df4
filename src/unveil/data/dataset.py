"""Photographs as training material: clean ones, and pairs of a degraded and a clean one; and crops of them.

Sizes come from the headers alone; pixels are decoded when a crop is drawn. Crops are a pure function of (seed, step): there is
no generator state to save, and they do not depend on the number of workers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.data.files import Picture, Store, Unreadable, images_in, size
from unveil.data.pairs import Match, recognise, relative
from unveil.errors import InputError


@dataclass(frozen=True)
class Photograph:
    """name: what identifies it. clean: the picture wanted. degraded: its damaged partner of equal size, for a real pair.

    scene: what must stay on one side of a split (several photographs of one place share it).
    """

    name: str
    clean: Picture
    degraded: Picture | None = None
    scene: str = ""

    @property
    def group(self) -> str:
        """The scene where one is known, else the name."""
        return self.scene or self.name

    @property
    def files(self) -> set[Path]:
        """The files it is read from, whatever path or link leads to them."""
        return {picture.path.resolve() for picture in (self.clean, self.degraded) if picture is not None}


def load_clean(folders: Sequence[Path], store: Store, halve_from: int = 512) -> list[Photograph]:
    """Every photograph of the folders, and a half-size copy of those whose short side is at least `halve_from` pixels.

    Only headers are read. Unreadable files are left out and put on the store's list.
    """
    out: list[Photograph] = []
    for path in (p for folder in folders for p in images_in(Path(folder))):
        store.counted += 1
        try:
            height, width = size(path)
        except Unreadable as error:
            store.refuse(path, str(error))
            continue
        out.append(Photograph(path.stem, Picture(store, path, (height, width))))
        if min(height, width) >= halve_from:
            out.append(Photograph(path.stem, Picture(store, path, (height // 2, width // 2), half=True)))
    return out


def scene_of(name: str, pattern: str) -> str:
    """The part of a photograph's name that `pattern` (a regular expression) captures, or "" where it does not match."""
    if not pattern:
        return ""
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise InputError(f"the scene pattern {pattern!r} is not a regular expression ({error})") from error
    return "" if found is None else "/".join(g for g in (found.groups() or (found[0],)) if g)


def hold_out(photographs: list[Photograph], share: float) -> tuple[list[Photograph], list[Photograph]]:
    """(kept, held out): by scene or name, so that all copies fall on the same side; every 1/share-th group, rounded up to a third."""
    if share <= 0:
        return photographs, []
    groups = sorted({p.group for p in photographs})
    step = round(1 / share) if share <= 1 / 3 else max(1.0, 1 / share)
    held = {groups[int(i * step)] for i in range(math.ceil(len(groups) / step))}
    return [p for p in photographs if p.group not in held], [p for p in photographs if p.group in held]


def photographs(
    found: Match, store: Store, *, scene: str = "", enlarge: bool = False
) -> tuple[list[Photograph], list[str]]:
    """(photographs, misfits): the matched pairs whose sizes agree, and sentences about everything else.

    scene: a regular expression over the name. enlarge: a degraded image that is smaller by a whole number is no misfit.
    Unreadable files are left out and put on the store's list.
    """
    out: list[Photograph] = []
    misfits = list(found.misfits)
    for name, degraded, clean in found.pairs:
        store.counted += 2
        try:
            low, high = _size(degraded, store), _size(clean, store)
        except Unreadable:
            continue
        larger = enlarge and low != high and high[0] % low[0] == 0 and high[0] // low[0] == high[1] // low[1]
        if low != high and not (larger and high[1] % low[1] == 0):
            misfits.append(
                f"{degraded} is {low[1]} x {low[0]} pixels but its partner {clean.name} is {high[1]} x {high[0]}"
            )
            continue
        partner = Picture(store, degraded, high, enlarge=low != high)
        out.append(Photograph(name, Picture(store, clean, high), partner, scene_of(name, scene)))
    return out, misfits


def _size(path: Path, store: Store) -> tuple[int, int]:
    try:
        return size(path)
    except Unreadable as error:
        store.refuse(path, str(error))
        raise


def of_benchmark(folder: Path, layout: str, split: str, store: Store) -> tuple[list[Photograph], list[str]]:
    """(pairs, misfits) of a published benchmark's split. Raises InputError for its test split, or one without pairs."""
    if split == "test":
        raise InputError(
            f"{folder}: a test split is never trained on or selected by; use split train and data.held_out"
        )
    out: list[Photograph] = []
    misfits: list[str] = []
    root = Path(folder).resolve().parent
    for part in recognise(folder, layout, split):
        if part.part.degraded is None:
            raise InputError(
                f"{folder}: {part.layout.name} has clean photographs only; name it under data.photos instead"
            )
        # Degraded versions of one clean photograph show one scene, whether or not the benchmark names scenes.
        scenes = {d: part.scene(d, root) or relative(c, root) for _, d, c in part.match.pairs}
        found, wrong = photographs(part.match, store, enlarge=part.part.enlarge)
        out += [replace(p, scene=scenes[p.degraded.path]) for p in found if p.degraded]
        misfits += wrong
    return out, misfits


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
    """The first two of `crops_and_sources`."""
    clean, degraded, _ = crops_and_sources(photographs, count, size, generator, reach)
    return clean, degraded


def crops_and_sources(
    photographs: list[Photograph], count: int, size: int, generator: np.random.Generator, reach: int = 0
) -> tuple[Tensor, Tensor | None, list[Photograph]]:
    """(clean, degraded, their photographs): the first two (count, 3, size, size) in [0, 1], randomly placed, flipped and turned;
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
