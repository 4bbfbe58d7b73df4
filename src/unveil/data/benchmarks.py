"""Recognising a published benchmark in the folder that the user downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from unveil.data.decoding import images_in
from unveil.data.layouts import LAYOUTS, Layout, Part
from unveil.data.matching import Match, by_key, match, relative
from unveil.errors import InputError


def names() -> list[str]:
    """The benchmarks known by layout."""
    return [layout.name for layout in LAYOUTS]


@dataclass(frozen=True)
class Found:
    """One split of a benchmark as it lies on this disk. photographs: for a set of clean photographs, else empty."""

    layout: Layout
    part: Part
    match: Match
    photographs: list[Path]

    def scene(self, path: Path, root: Path) -> str:
        """The scene of a degraded (or only) file, "" where the benchmark has none."""
        regex = re.compile(rf"(?:.*/)?{self.part.degraded or self.part.clean}")
        found = regex.fullmatch(relative(path, root))
        return "" if found is None else found.groupdict().get("scene") or ""


def _look(root: Path, paths: list[Path], layout: Layout, split: str) -> list[Found]:
    found: list[Found] = []
    for part in (p for p in layout.parts if p.split == split):
        clean = by_key(paths, root, re.compile(f"(?:.*/)?{part.clean}"))
        if part.degraded is None:
            if clean:
                found.append(Found(layout, part, Match([], []), [p for v in clean.values() for p in v]))
            continue
        degraded = by_key(paths, root, re.compile(f"(?:.*/)?{part.degraded}"))
        if degraded and clean:
            found.append(Found(layout, part, match(degraded, clean, many=part.many, spare=part.spare), []))
    return found


def present(folder: Path, split: str) -> list[Found]:
    """Every known benchmark whose `split` lies in `folder` (itself or any level below); none is no error."""
    folder = Path(folder).resolve()
    paths = images_in(folder)
    return [found for layout in LAYOUTS for found in _look(folder.parent, paths, layout, split)]


def recognise(folder: Path, name: str = "auto", split: str = "train") -> list[Found]:
    """The parts of a benchmark's `split` that lie in `folder` (itself or any level below).

    name: one of `names()`, or "auto" to try all that come as pairs, then those of clean photographs. Raises InputError when
    nothing fits, when several fit (naming them), or for an unknown name.
    """
    folder = Path(folder).resolve()
    # The benchmark's own folder may carry part of the pattern (Rain100H/rainy/...), so names start one level above.
    paths, root = images_in(folder), folder.parent
    if name != "auto":
        chosen = [layout for layout in LAYOUTS if layout.name.lower() == name.lower()]
        if not chosen:
            raise InputError(f"no benchmark layout is called {name!r}; known are {', '.join(names())}")
        found = _look(root, paths, chosen[0], split)
        if not found:
            raise InputError(f"{folder}: no {split} split of {chosen[0].name} is found here ({_seen(paths, root)})")
        return found
    tried = [(layout, _look(root, paths, layout, split)) for layout in LAYOUTS]
    for kind in (True, False):
        fitting = [f for _, f in tried if f and (f[0].part.degraded is not None) is kind]
        if len(fitting) > 1:
            raise InputError(
                f"{folder}: may be {' or '.join(f[0].layout.name for f in fitting)}; say which with layout"
            )
        if fitting:
            return fitting[0]
    raise InputError(
        f"{folder}: not the {split} split of a benchmark known by its folders ({', '.join(names())}); {_seen(paths, root)}"
    )


def _seen(paths: list[Path], root: Path) -> str:
    return f"it holds {len(paths)} images such as {paths[0].relative_to(root)}"
