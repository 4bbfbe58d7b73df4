"""Pictures of a test set that training has seen: the same photograph, a piece of it, or its scene from the same place.

Data sets that are known to show each other's pictures are recognised by their files' names; others are compared picture by picture.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unveil.data.files import Unreadable, decode, images_in
from unveil.errors import InputError
from unveil.util.extras import installing

_SHOTS = "2 21 24 53 54 56 80 81 82 112 113 114 143 144 145 494 495 546 664 668 747 775 776 777 779"
LOL_SHOTS = frozenset(_SHOTS.split())
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
    "our485": "LOL's training split", "eval15": "LOL's eval15", "loleval15": "LOL's eval15", "kodak24": "Kodak24", "live1": "LIVE1",
    "srd": "SRD", "nam": "Nam", "cc15": "CC15", "mefb": "MEFB", "dicm": "DICM",
}  # fmt: skip


@dataclass(frozen=True)
class Overlap:
    """Two sets that show the same things, and a sentence about the consequence. splits: whether they are the two splits of one data set."""

    train: str
    test: str
    text: str
    splits: bool = False


OVERLAPS = (
    Overlap(
        "LOL's training split", "LOL's eval15",
        "LOL's training split shows 25 of eval15's shots at another exposure and 51 pictures of its toy table: weights trained on it are "
        "helped on eval15",
        splits=True,
    ),
    Overlap("LIVE1", "Kodak24", "19 of LIVE1's 29 pictures are Kodak24's: neither is a test set for what has seen the other"),
    Overlap(
        "SRD", "SRD",
        "in SRD's official split 2018 of the 2680 training targets show a scene of the test set: weights trained on it are helped there",
        splits=True,
    ),
    Overlap("Nam", "CC15", "Nam's 25 patches and CC15 show the same objects: they are one test set, not two"),
    Overlap("MEFB", "DICM", "MEFB's Arno and BelgiumHouse are in DICM"),
)  # fmt: skip


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
    """Warnings about these files before they are trained on or scored, when no other files are known.

    Overlaps of two sets that are both among them, and of the two splits of one data set where one of them is: numbers on LOL's eval15 are
    compared with those of weights trained on LOL. That LIVE1 has Kodak24's pictures matters only where both are used.
    """
    found = sets_in(paths)
    splits = [o for o in OVERLAPS if o.splits and found & {o.train, o.test}]
    return [o.text for o in OVERLAPS if o in splits or {o.train, o.test} <= found]


SIDE = 256
"""Longer side, in pixels, at which local features are looked for."""
BITS = 63
ALIKE = 10
"""Bits of a perceptual hash that may differ, of 63, in two copies of a photograph."""
INLIERS = 14
"""Matches that one homography must explain, for two pictures to show one scene."""
_THUMB = 32  # side of the picture that is hashed
_LOW = 8  # lowest frequencies of it in the hash, each way
_CORRELATION = 0.9  # of two thumbnails whose hashes are alike: hashes of smooth pictures are alike by chance
_FLAT = 0.5  # levels of 255; with less deviation a thumbnail has no features, and its hash is chance
_KEYPOINTS = 300
_RATIO = 0.8  # Lowe's: nearest over next nearest descriptor
_CANDIDATE = 8  # matches from which a homography is worth looking for
_RESIDUAL = 4.0  # pixels
_TRIALS = 400
_BLOCK = 200  # training pictures whose descriptors are compared at a time

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Leak:
    """A training picture that shows what a test picture shows.

    by: "hash" (the whole picture, perhaps mirrored, compressed, resized or of another exposure; strength is the number of bits
    of 63 that agree) or "features" (a piece, or a shifted or turned view; strength is the number of matched local features that one
    homography explains).
    """

    train: Path
    test: Path
    by: str
    strength: int


@dataclass(frozen=True)
class Found:
    """What `find_leaks` found, sorted by test picture and then by training picture.

    unreadable: files that were passed over, with the reason. features: whether local features were compared, too.
    """

    leaks: tuple[Leak, ...]
    train: int
    test: int
    unreadable: tuple[str, ...] = ()
    features: bool = False


@dataclass
class _Look:
    """hash, mirrored: (63,) of -1 and 1, zeros for a flat picture. thumb: (32, 32), zero mean, unit norm. points, descriptors: of SIFT."""

    path: Path
    hash: np.ndarray
    mirrored: np.ndarray
    thumb: np.ndarray
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    descriptors: np.ndarray = field(default_factory=lambda: np.empty((0, 128), np.uint8))


def find_leaks(train: Path, test: Path, *, features: bool | None = None, progress: Progress = lambda *_: None) -> Found:
    """Pairs of a training picture and a test picture that show the same thing, and the files that could not be read. The result depends on
    the files alone.

    Whole pictures are compared by a perceptual hash of their lowest frequencies (as they are and mirrored), confirmed by the correlation
    of thumbnails; then by SIFT features of pictures reduced to 256 pixels, matched both ways and held together by a homography. If both
    folders, which are searched with everything below them, are one, the twins within it are found.

    features: whether to compare local features, which needs scikit-image (extra `leaks`); None: where it is installed. progress: called
    with what is done, how many pictures are through, and of how many. Raises InputError for a folder that is missing or holds no pictures,
    or if features are asked for and scikit-image is not there.
    """
    there = importlib.util.find_spec("skimage") is not None
    if features and not there:
        raise InputError(f"local features need scikit-image: {installing('leaks')}, or leave them out")
    features = there if features is None else features
    within = Path(train).resolve() == Path(test).resolve()
    unreadable: list[str] = []
    learned = _looks(images_in(train), features, unreadable, partial(progress, "training pictures"))
    shown = learned if within else _looks(images_in(test), features, unreadable, partial(progress, "test pictures"))
    # Whole pictures last: where both find a pair, the hash says more.
    views = _by_features(learned, shown, within, progress) if features else ()
    leaks = {(leak.test, leak.train): leak for leak in views}
    leaks |= {(leak.test, leak.train): leak for leak in _by_hash(learned, shown, within)}
    return Found(tuple(leaks[pair] for pair in sorted(leaks)), len(learned), len(shown), tuple(unreadable), features)


def _looks(
    paths: Sequence[Path], features: bool, unreadable: list[str], progress: Callable[[int, int], None]
) -> list[_Look]:
    looks = []
    for n, path in enumerate(paths, start=1):
        try:
            looks.append(_look(path, features))
        except Unreadable as error:
            unreadable.append(str(error))
        progress(n, len(paths))
    return looks


def _look(path: Path, features: bool) -> _Look:
    grey = Image.fromarray(decode(path)).convert("L")
    small = np.asarray(grey.convert("F").resize((_THUMB, _THUMB), Image.Resampling.BOX), dtype=np.float64)
    thumb = small - small.mean()
    thumb /= np.linalg.norm(thumb) or 1.0
    nothing = np.zeros(BITS, np.float32)
    flat = small.std() < _FLAT
    look = _Look(path, nothing if flat else _hash(thumb), nothing if flat else _hash(thumb[:, ::-1]), thumb)
    if features:
        look.points, look.descriptors = _features(grey)
    return look


def _hash(thumb: np.ndarray) -> np.ndarray:
    """(63,) signs, -1 or 1, of the lowest frequencies of the cosine transform about their median, without the mean."""
    n = np.arange(_THUMB)
    cosines = np.cos(np.pi * (n[None, :] + 0.5) * np.arange(_LOW)[:, None] / _THUMB)
    low = (cosines @ thumb @ cosines.T).ravel()[1:]
    return np.where(low > np.median(low), 1, -1).astype(np.float32)


def _by_hash(learned: Sequence[_Look], shown: Sequence[_Look], within: bool) -> Iterator[Leak]:
    table = np.array([look.hash for look in learned]).reshape(-1, BITS)
    for n, look in enumerate(shown):
        for own, thumb in ((look.mirrored, look.thumb[:, ::-1]), (look.hash, look.thumb)):
            equal = (BITS + table @ own) / 2 if own.any() else np.zeros(len(table))
            for k in np.flatnonzero(equal >= BITS - ALIKE).tolist():
                likeness = float((learned[k].thumb * thumb).sum())
                if likeness >= _CORRELATION and not (within and k <= n):
                    yield Leak(learned[k].path, look.path, "hash", round(float(equal[k])))


def _features(grey: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) positions and (N, 128) uint8 descriptors, at most 300, of the largest structures first."""
    from skimage.feature import SIFT

    small = grey.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.float64)
    low, high = np.percentile(pixels, (1, 99))  # so that a picture in the dark has the features of the same by day
    if high <= low or min(pixels.shape) < 32:
        return np.empty((0, 2)), np.empty((0, 128), np.uint8)
    sift = SIFT()
    try:
        sift.detect_and_extract(((pixels - low) / (high - low)).clip(0, 1))
    except RuntimeError:  # scikit-image's word for a picture without any feature
        return np.empty((0, 2)), np.empty((0, 128), np.uint8)
    sigmas, keypoints, descriptors = (np.asarray(v) for v in (sift.sigmas, sift.keypoints, sift.descriptors))
    order = np.argsort(-sigmas, kind="stable")[:_KEYPOINTS]
    return keypoints[order].astype(np.float64), descriptors[order].astype(np.uint8)


def _unit(descriptors: np.ndarray) -> np.ndarray:
    """Square roots of the histograms, of unit length (Arandjelovic and Zisserman 2012)."""
    rooted = np.sqrt(descriptors.astype(np.float32))
    return rooted / np.maximum(np.linalg.norm(rooted, axis=1, keepdims=True), 1e-6)


def _by_features(learned: Sequence[_Look], shown: Sequence[_Look], within: bool, progress: Progress) -> Iterator[Leak]:
    """Blocks of training pictures outside, test pictures inside: descriptors are made floats once for each block."""
    for first in range(0, len(learned), _BLOCK):
        block = [(k, learned[k]) for k in range(first, min(first + _BLOCK, len(learned)))]
        block = [(k, rival) for k, rival in block if len(rival.points) >= INLIERS]
        table = _unit(np.concatenate([rival.descriptors for _, rival in block])) if block else np.empty((0, 128))
        starts = np.cumsum([0, *(len(rival.points) for _, rival in block)])
        for n, look in enumerate(shown):
            if block and len(look.points) >= INLIERS:
                likeness = _unit(look.descriptors) @ table.T
                for (k, rival), begin, end in zip(block, starts, starts[1:], strict=False):
                    inliers = 0 if within and k <= n else _inliers(look, rival, likeness[:, begin:end])
                    if inliers >= INLIERS:
                        yield Leak(rival.path, look.path, "features", inliers)
        progress("training pictures compared", min(first + _BLOCK, len(learned)), len(learned))


def _matches(likeness: np.ndarray) -> np.ndarray:
    """(N, 2) indices of descriptors that are each other's nearest, by far (Lowe's ratio)."""
    rows = np.arange(len(likeness))
    nearest = likeness.argmax(1)
    best = likeness[rows, nearest]
    mutual = likeness.argmax(0)[nearest] == rows
    second = np.partition(likeness, -2, axis=1)[:, -2]
    clear = 2 - 2 * best < _RATIO**2 * (2 - 2 * second)  # squared distances of unit vectors
    return np.stack([rows, nearest], 1)[mutual & clear]


def _inliers(look: _Look, rival: _Look, likeness: np.ndarray) -> int:
    """How many of the matched points one homography explains to four pixels; 0 for too few matches."""
    from skimage.measure import ransac
    from skimage.transform import ProjectiveTransform

    pairs = _matches(likeness)
    if len(pairs) < _CANDIDATE:
        return 0
    here, there = look.points[pairs[:, 0]], rival.points[pairs[:, 1]]
    made: tuple[Any, Any] = ransac(
        (here, there), ProjectiveTransform, 4, _RESIDUAL, max_trials=_TRIALS, rng=np.random.default_rng(0)
    )
    return (
        0 if made[1] is None else len(np.unique(np.rint(here[made[1]]), axis=0))
    )  # a point may have several descriptors
