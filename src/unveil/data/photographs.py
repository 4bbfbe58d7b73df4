"""Photographs as training material: clean ones, and pairs of a degraded and a clean one. Nothing is decoded here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.data.store import Picture, Store, Unreadable, images_in, size
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
    """(kept, held out): by scene or name, so that all copies fall on the same side; every 1/share-th group."""
    if share <= 0:
        return photographs, []
    groups = sorted({p.group for p in photographs})
    held = set(groups[:: max(1, round(1 / share))])
    return [p for p in photographs if p.group not in held], [p for p in photographs if p.group in held]
