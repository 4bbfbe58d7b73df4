"""Data sets that are known to show each other's pictures, recognised by their files' names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LOL_SHOTS = frozenset(
    str(n)
    for n in (
        2,
        21,
        24,
        53,
        54,
        56,
        80,
        81,
        82,
        112,
        113,
        114,
        143,
        144,
        145,
        494,
        495,
        546,
        664,
        668,
        747,
        775,
        776,
        777,
        779,
    )
)
"""Pictures of LOL's official training split that show shots of its eval15 at another exposure."""
_EVAL15 = frozenset(["1", "22", "23", "55", "79", "111", "146", "179", "493", "547", "665", "669", "748", "778", "780"])
_KODAK24 = frozenset(f"kodim{n:02}" for n in range(1, 25))
_LIVE1_NAMES = """
    bikes building2 buildings caps carnivaldolls cemetry churchandcapitol coinsinfountain dancers flowersonih35 house lighthouse
    lighthouse2 manfishing monarch ocean paintedhouse parrots plane rapids sailing1 sailing2 sailing3 sailing4 statue stream
    studentsculpture woman womanhat
"""
_LIVE1 = frozenset(_LIVE1_NAMES.split())
_LEAST = 0.8  # share of a set's names that a folder must hold to be taken for the set
_FOLDERS = {
    "our485": "LOL's training split",
    "eval15": "LOL's eval15",
    "loleval15": "LOL's eval15",
    "kodak24": "Kodak24",
    "live1": "LIVE1",
    "srd": "SRD",
    "nam": "Nam",
    "cc15": "CC15",
    "mefb": "MEFB",
    "dicm": "DICM",
}


@dataclass(frozen=True)
class Overlap:
    """Two sets that show the same things, and what that means in a sentence. splits: whether they are the two splits of one data set."""

    train: str
    test: str
    text: str
    splits: bool = False


OVERLAPS = (
    Overlap(
        "LOL's training split",
        "LOL's eval15",
        "LOL's training split shows 25 of eval15's shots at another exposure and 51 pictures of its toy table: weights trained on it are "
        "helped on eval15",
        splits=True,
    ),
    Overlap(
        "LIVE1",
        "Kodak24",
        "19 of LIVE1's 29 pictures are Kodak24's: neither is a test set for what has seen the other",
    ),
    Overlap(
        "SRD",
        "SRD",
        "in SRD's official split 2018 of the 2680 training targets show a scene of the test set: weights trained on it are helped there",
        splits=True,
    ),
    Overlap("Nam", "CC15", "Nam's 25 patches and CC15 show the same objects: they are one test set, not two"),
    Overlap("MEFB", "DICM", "MEFB's Arno and BelgiumHouse are in DICM"),
)


def sets_in(paths: Iterable[Path]) -> set[str]:
    """The known sets among image files: by the name of a folder above them, or by the names in one folder (four fifths of a set's)."""
    found: set[str] = set()
    names: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        names[path.parent].add(path.stem.casefold())
    for folder, stems in names.items():
        for part in folder.parts:
            plain = "".join(c for c in part.casefold() if c.isalnum())
            if plain in _FOLDERS:
                found.add(_FOLDERS[plain])
        known = {"LOL's eval15": _EVAL15, "Kodak24": _KODAK24, "LIVE1": _LIVE1}
        found |= {name for name, wanted in known.items() if len(stems & wanted) >= _LEAST * len(wanted)}
        # Numbers that eval15 leaves out, in a folder of nothing but numbers.
        if len(stems & LOL_SHOTS) >= _LEAST * len(LOL_SHOTS) and all(stem.isdecimal() for stem in stems):
            found.add("LOL's training split")
    return found


def overlaps(train: Iterable[Path], test: Iterable[Path]) -> list[str]:
    """What is known about two collections of files, if they are sets that show the same pictures; empty otherwise."""
    left, right = sets_in(train), sets_in(test)
    pairs = {(a, b) for a in left for b in right}
    return [o.text for o in OVERLAPS if (o.train, o.test) in pairs or (o.test, o.train) in pairs]


def cautions(paths: Iterable[Path]) -> list[str]:
    """What to know before these files are trained on or scored, where only they are seen.

    Overlaps of two sets that are both among them, and of the two splits of one data set, of which one is: whoever scores LOL's eval15
    compares with weights trained on LOL. That LIVE1 has Kodak24's pictures is nobody's concern who has one of them.
    """
    found = sets_in(paths)
    splits = [o for o in OVERLAPS if o.splits and found & {o.train, o.test}]
    return [o.text for o in OVERLAPS if o in splits or {o.train, o.test} <= found]
