"""Photographs to score: reading them, and matching the files of two folders."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from unveil.errors import InputError, note
from unveil.photo import Photo, read
from unveil.util.suffixes import READABLE, SCORED
from unveil.util.words import several


@dataclass(frozen=True)
class Picture:
    """pixels: (H, W, 3), uint8 or uint16 as stored, floats where the file has floats or colours other than sRGB.

    notes: what was done to get them there, empty for plain RGB.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def find_images(folder: Path) -> list[Path]:
    """Image files in a folder and its sub-folders, in sorted order; files and folders that begin with a dot are passed over.

    What is named like a photograph and is no file that can be read (a link to nothing) is among them, so that it is reported; cameras' own
    files are not, with a note. Raises InputError if the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    named = sorted(p for p in folder.rglob("*") if p.suffix.lower() in READABLE and not p.is_dir())
    seen = [p for p in named if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    raw = [p for p in seen if p.suffix.lower() not in SCORED]
    if raw:
        note(f"{several(raw)}: a camera's own file, passed over; develop it into a TIFF or PNG to score it")
    return [p for p in seen if p.suffix.lower() in SCORED]


def read_image(path: Path) -> Picture:
    """An image file as upright RGB. Raises InputError, naming the file, for what cannot be read."""
    photo = read(path)
    return Picture(_pixels(photo), _notes(photo))


def _pixels(photo: Photo) -> np.ndarray:
    """Whole numbers where the file holds sRGB in 8 or 16 bits; its own floats, NaN included, where it holds floats."""
    if photo.depth == 32:
        if photo.native is None:
            return photo.pixels
        return np.broadcast_to(photo.native, photo.pixels.shape)
    if photo.native is not None:
        return photo.pixels
    white = 2**photo.depth - 1
    return np.rint(photo.pixels * np.float32(white)).astype(np.uint8 if photo.depth == 8 else np.uint16)


def _notes(photo: Photo) -> tuple[str, ...]:
    notes = list(photo.notes)
    if photo.orientation != 1:
        notes.append("orientation applied")
    if photo.grey:
        notes.append("grey repeated")
    if photo.alpha is not None:
        notes.append("alpha ignored")
    if photo.space is not None:
        notes.append("colours converted to sRGB")
    return tuple(notes)


Match = Literal["stem", "name", "order"]


@dataclass(frozen=True)
class Pair:
    """One image to score: its name in reports, and its files. partner: the target's name, where the pair's name is not of both."""

    name: str
    prediction: Path
    target: Path
    mask: Path | None = None
    partner: str = ""


@dataclass(frozen=True)
class Pairing:
    """pairs in the order of their names; the files of either folder that found no partner; the rule in words."""

    pairs: tuple[Pair, ...]
    predictions_left: tuple[Path, ...]
    targets_left: tuple[Path, ...]
    rule: str


def match_folders(
    prediction: Path,
    target: Path,
    *,
    match: Match = "stem",
    prediction_suffix: str = "",
    target_suffix: str = "",
    masks: Path | None = None,
    mask_suffix: str = "",
) -> Pairing:
    """Pair the images of two folders (and of a folder of masks), or two single files.

    match `stem`: the path inside the folder without its extension, and without the suffix given for that folder (as in
    a_real.jpg and a_mean.jpg, or a.jpg and a_free.jpg); `name`: the same with the extension; `order`: the n-th in sorted order
    with the n-th, for folders of equal count.
    Raises InputError if nothing pairs, if two files of a folder claim one name, or if a pair has no mask.
    """
    if match not in get_args(Match):
        raise InputError(f"unknown rule {match!r} to match files; known: {', '.join(get_args(Match))}")
    if prediction.is_file() and target.is_file():
        return Pairing((Pair(prediction.name, prediction, target, masks, target.name),), (), (), "two files")
    if match == "order":
        return _by_order(prediction, target, masks)
    left = _keyed(prediction, match, prediction_suffix)
    right = _keyed(target, match, target_suffix)
    shade = _keyed(masks, match, mask_suffix) if masks else {}
    common = sorted(set(left) & set(right))
    if not common:
        raise InputError(
            f"no image of {prediction} ({len(left)}) has the {match} of one of {target} ({len(right)}); "
            f"for instance {_example(left)} against {_example(right)}"
        )
    if masks:
        bare = [key for key in common if key not in shade]
        if bare:
            raise InputError(f"{len(bare)} of {len(common)} pairs have no mask in {masks}, the first is {bare[0]}")
    suffixes = f", without {prediction_suffix!r} and {target_suffix!r}" if prediction_suffix or target_suffix else ""
    return Pairing(
        tuple(Pair(key, left[key], right[key], shade.get(key)) for key in common),
        tuple(left[key] for key in sorted(set(left) - set(right))),
        tuple(right[key] for key in sorted(set(right) - set(left))),
        f"equal {match}{suffixes}",
    )


def _keyed(folder: Path, match: Match, suffix: str) -> dict[str, Path]:
    """Key of each image of a folder -> its path. A file without the suffix keeps its whole stem as the key."""
    if match == "name" and suffix:
        raise InputError("a suffix goes with the rule 'stem' only")
    found = defaultdict(list)
    for path in find_images(folder):
        inside = path.relative_to(folder)
        key = inside.with_suffix("").as_posix().removesuffix(suffix) if match == "stem" else inside.as_posix()
        found[key].append(path)
    twice = {key: paths for key, paths in found.items() if len(paths) > 1}
    if twice:
        key, paths = min(twice.items())
        raise InputError(
            f"{' and '.join(p.name for p in paths)} in {folder} both claim {key!r}; match by name, or move one"
        )
    return {key: paths[0] for key, paths in found.items()}


def _by_order(prediction: Path, target: Path, masks: Path | None) -> Pairing:
    folders = [find_images(folder) for folder in (prediction, target, *([masks] if masks else []))]
    counts = [len(paths) for paths in folders]
    if len(set(counts)) > 1 or not counts[0]:
        raise InputError(f"to match by order the folders must hold equally many images, and some; they hold {counts}")
    pairs = (
        Pair(
            left.relative_to(prediction).as_posix(),
            left,
            right,
            shade[0] if shade else None,
            right.relative_to(target).as_posix(),
        )
        for left, right, *shade in zip(*folders, strict=True)
    )
    return Pairing(tuple(pairs), (), (), "sorted order")


def _example(keyed: dict[str, Path]) -> str:
    return repr(min(keyed)) if keyed else "nothing"
