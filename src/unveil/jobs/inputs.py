"""From what the user named (files, folders, globs, `-`) to the photographs and videos to restore.

All of them, or one machine's share where several work independently.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from unveil.errors import InputError
from unveil.photo.header import sniff
from unveil.util.suffixes import READABLE
from unveil.util.words import several
from unveil.video import SUFFIXES as VIDEO_SUFFIXES
from unveil.video import is_video

STANDARD = Path("-")
"""Names standard input or standard output."""
FOREIGN_FOLDERS = ("__MACOSX",)
_WILD = "*?["


def stream_of(source: Path) -> Path | BinaryIO:
    """What is read: the file, or standard input where `source` names it."""
    return standard_input() if source == STANDARD else source


def standard_input() -> BufferedReader:
    """Standard input. Raises InputError where it is closed."""
    if sys.stdin is None:
        raise InputError("standard input is closed; send the photograph there, or name a file")
    return sys.stdin.buffer  # type: ignore[return-value]


@dataclass(frozen=True)
class Item:
    """source: the file, or `-`. place: where its output lies below the output folder (the mirrored tree), its own name last."""

    source: Path
    place: Path


def find(
    inputs: Iterable[Path],
    *,
    recursive: bool = False,
    leave_out: Path | None = None,
    follow_links: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Item]:
    """The photographs that `inputs` name, each once, in the order named; those of a folder sorted by name.

    A file that is named is taken whatever it is: if it cannot be restored, that is an error worth a row. In folders, and among what a
    glob matches, files that are no photographs by their names are ignored: hidden files, Thumbs.db, texts. A file without suffix is opened
    to find out. A video takes hours where a photograph takes seconds: it is taken where it is named, or by a glob with a video's suffix.
    What a glob matches keeps its place below the pattern's fixed part. recursive: folders within folders too.
    leave_out: a folder that is not searched, nor matched by a glob from outside it (the output's). follow_links: folders that are links
    too, each real folder once. tell: gets a sentence about what was passed over and may have been meant.

    Raises InputError where a glob matches nothing, or where nothing at all is left.
    """
    inputs = list(inputs)
    if STANDARD in inputs and len(inputs) > 1:
        raise InputError("`-` (standard input) is one photograph and cannot be mixed with others")
    skip = None if leave_out is None else leave_out.resolve()
    found: dict[Path, Item] = {}
    for given in inputs:
        for item in _expanded(given, recursive, skip, follow_links, tell):
            found.setdefault(item.source if item.source == STANDARD else _named(item.source), item)
    if not found:
        hint = "" if recursive else "; --recursive looks into folders within them too"
        raise InputError(f"no photograph in {', '.join(map(str, inputs))}{hint}")
    return list(found.values())


def _named(source: Path) -> Path:
    """The same for one file named in two ways; a link to a photograph has a name, and an output, of its own."""
    return source.parent.resolve() / source.name if source.is_symlink() else source.resolve()


def _expanded(
    given: Path, recursive: bool, skip: Path | None, follow: bool, tell: Callable[[str], None]
) -> Iterator[Item]:
    if given == STANDARD:
        yield Item(given, Path("stdin"))
    elif given.is_dir():
        for path in _inside(given, recursive, skip, follow, tell):
            yield Item(path, path.relative_to(given))
    elif any(c in str(given) for c in _WILD) and not given.exists():
        matches = sorted(map(Path, glob.glob(str(given), recursive=True)))
        if not matches:
            raise InputError(f"{given}: matches no file; check the pattern")
        fixed = Path(*given.parts[: next(i for i, part in enumerate(given.parts) if any(c in part for c in _WILD))])
        if skip is not None and fixed.resolve().is_relative_to(skip):
            skip = None  # the outputs themselves are meant
        _tell_of_lost(matches, tell)
        for path in matches:
            meant = is_video(given) and is_video(path) and not path.name.startswith(".")
            ours = skip is not None and path.resolve().is_relative_to(skip)
            if (meant or is_photograph(path)) and not ours and not set(path.parts) & set(FOREIGN_FOLDERS):
                yield Item(path, path.relative_to(fixed))
    else:
        yield Item(given, Path(given.name))


def _inside(
    folder: Path, recursive: bool, skip: Path | None, follow: bool, tell: Callable[[str], None]
) -> Iterator[Path]:
    linked, refused, videos, lost = list[Path](), list[OSError](), list[Path](), list[Path]()
    seen = {folder.resolve()}
    for here, folders, names in os.walk(folder, onerror=refused.append, followlinks=follow):
        kept = []
        for name in sorted(folders):
            path = Path(here, name)
            if not recursive or name.startswith(".") or name in FOREIGN_FOLDERS:
                continue
            if path.is_symlink() and not follow:
                linked.append(path)
                continue
            real = path.resolve() if follow else path
            if real in seen or path.resolve() == skip:
                continue  # a loop, or a second way to the same folder
            seen.add(real)
            kept.append(name)
        folders[:] = kept
        for path in (Path(here, name) for name in sorted(names)):
            if is_photograph(path):
                yield path
            elif path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
                videos.append(path)
            else:
                lost.append(path)

    if videos:
        tell(f"{several(videos)}: a video, passed over; name it, or a glob with its suffix, to restore it")
    if linked:
        tell(f"{several(linked)}: a link to a folder, passed over; --follow-links searches it")
    _tell_of_lost(lost, tell)
    for error in refused:
        tell(f"{error.filename}: cannot be looked into ({error.strerror}), passed over")


def _tell_of_lost(paths: Iterable[Path], tell: Callable[[str], None]) -> None:
    """Say which of these are named like photographs and are no files, and why: once for each reason."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        if path.name.startswith(".") or path.suffix.lower() not in READABLE or os.path.isfile(path):
            continue
        try:
            if not stat.S_ISDIR(path.stat().st_mode):
                found.setdefault("a pipe or a device, passed over", []).append(path)
        except FileNotFoundError:
            found.setdefault("a link to a file that is not there, passed over; mend or remove it", []).append(path)
        except OSError as error:
            found.setdefault(f"cannot be looked at ({error.strerror}), passed over", []).append(path)
    for reason, those in found.items():
        tell(f"{several(those)}: {reason}")


def is_photograph(path: Path) -> bool:
    """Whether a file that was not named itself is to be restored: by its suffix, or without one by its first bytes."""
    if path.name.startswith(".") or not os.path.isfile(path):  # which no error of the system ends
        return False
    if path.suffix:
        return path.suffix.lower() in READABLE
    try:
        with path.open("rb") as file:
            return sniff(file.read(64)) is not None
    except OSError:
        return False


def shard_of(place: str, count: int) -> int:
    """1 to `count`, by the photograph's place below its folder: the same on every machine, whatever else is in the folder."""
    return 1 + int.from_bytes(hashlib.sha256(place.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count


def parse(text: str) -> tuple[int, int]:
    """(K, N) of "K/N", the Kth of N shards, counted from 1. Raises InputError for anything else."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard takes K/N with K from 1 to N, as 3/16, not {text!r}")
    return number, count


def share(items: Sequence[Item], text: str) -> list[Item]:
    """The items of shard "K/N". Every item is in exactly one of the N; a shard may be empty."""
    number, count = parse(text)
    return [item for item in items if shard_of(item.place.as_posix(), count) == number]
