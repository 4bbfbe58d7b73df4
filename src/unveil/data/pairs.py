"""Pairs on disk as photographs: matched, their sizes compared, and every misfit of every folder collected before any is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unveil.data import matching
from unveil.data.layouts import recognise
from unveil.data.matching import Match
from unveil.data.photographs import Photograph, scene_of
from unveil.data.store import Picture, Store, Unreadable, images_in, size
from unveil.errors import InputError
from unveil.util.words import check_known


def in_folders(
    degraded: Path, clean: Path, *, degraded_name: str = "*", clean_name: str = "*", rule: str = "stem"
) -> Match:
    """The pairs of two folders.

    rule "stem": the names without suffix match degraded_name and clean_name with the same part in place of `*`. rule "order":
    by position in the sorted lists. Raises InputError for a missing or empty folder, or an unknown rule.
    """
    if rule == "order":
        return matching.in_order(images_in(degraded), images_in(clean))
    check_known("rule of matching", rule, matching.RULES)
    left, right = (matching.pattern(n, w) for n, w in ((degraded_name, "degraded_name"), (clean_name, "clean_name")))
    damaged, targets = images_in(degraded), images_in(clean)
    by_left, by_right = matching.by_key(damaged, degraded, left), matching.by_key(targets, clean, right)
    found = matching.match(by_left, by_right)
    known = {p for paths in (*by_left.values(), *by_right.values()) for p in paths}
    strays = [
        f"{path} is not called {name}"
        for paths, name in ((damaged, degraded_name), (targets, clean_name))
        for path in paths
        if path not in known
    ]
    return Match(found.pairs, found.misfits + strays)


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
        scenes = {d: part.scene(d, root) or matching.relative(c, root) for _, d, c in part.match.pairs}
        found, wrong = photographs(part.match, store, enlarge=part.part.enlarge)
        out += [replace(p, scene=scenes[p.degraded.path]) for p in found if p.degraded]
        misfits += wrong
    return out, misfits
