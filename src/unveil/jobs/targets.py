"""Where each photograph's restoration is written, decided and checked before anything is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.errors import InputError
from unveil.jobs.finding import STANDARD, Item
from unveil.photo.atomic import TEMPORARY_SUFFIX
from unveil.photo.raw import SUFFIXES as RAW
from unveil.photo.writing import SUFFIXES
from unveil.video import is_video

RAW_TO: dict[str, str] = dict.fromkeys(RAW, ".tif")
"""What is written of camera raw in a folder where no --ext is given."""


@dataclass(frozen=True)
class Job:
    """One photograph: from where, to where. Either may be `-`. extras: further pictures beside the target, by kind."""

    source: Path
    target: Path
    extras: dict[str, Path]


def plan(
    items: Sequence[Item],
    output: Path,
    *,
    folder: bool = False,
    suffix: str = "",
    ext: str = "auto",
    extras: Sequence[str] = (),
) -> list[Job]:
    """A target for every item. Makes the output folder and tries that it can be written to; writes nothing else.

    output: a folder where `folder` says so, where there are several items, where it is one already or has no suffix; otherwise the
    file; or `-`.
    suffix: put behind the stem. ext: the photographs' format by its suffix ("png", ".tif"), "auto" keeps the name's own. extras: kinds
    of further pictures, written as STEM_kind.png.

    Raises InputError where two outputs would be one file, where an output would replace a photograph of this call, for an unknown
    ext, several items into one file, or a folder that refuses.
    """
    ending = "" if ext == "auto" else f".{ext.lower().lstrip('.')}"
    if ending and ending not in SUFFIXES:
        raise InputError(f"unknown --ext {ext!r}; use auto or one of {', '.join(s[1:] for s in SUFFIXES)}")
    if any(sep in suffix for sep in ("/", "\\", "\0")):
        raise InputError(f"--suffix {suffix!r} must not name a folder")
    if output == STANDARD:
        if len(items) > 1 or extras:
            raise InputError("standard output takes one photograph and nothing beside it; name a folder with -o")
        return [Job(items[0].source, STANDARD, {})]
    folder = folder or len(items) > 1 or output.is_dir() or not output.suffix
    jobs = []
    for item in items:
        name = item.place if folder else Path(output.name)
        target = (output if folder else output.parent) / name
        if folder:
            own = name.suffix if is_video(item.source) else ending or RAW_TO.get(name.suffix.lower(), name.suffix)
            target = target.with_name(f"{name.stem}{suffix}{own}")
        jobs.append(Job(item.source, target, {kind: target.with_name(f"{target.stem}_{kind}.png") for kind in extras}))
    _check(jobs)
    for place in {job.target.parent for job in jobs}:
        _open(place)
    return jobs


def _check(jobs: Sequence[Job]) -> None:
    sources = {_same(job.source): job.source for job in jobs}
    taken: dict[str, Path] = {}
    for job in jobs:
        for path in (job.target, *job.extras.values()):
            key = _same(path)
            if key in taken:
                raise InputError(
                    f"{job.source} and {taken[key]} would both be written to {path}; rename one, use --ext auto, or write them to "
                    "different folders"
                )
            if key in sources:
                raise InputError(
                    f"{path}: the restoration would replace the photograph {sources[key]}; write to another folder or use --suffix"
                )
            taken[key] = job.source


def _same(path: Path) -> str:
    return os.path.normcase(path.resolve())


def _open(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        probe = place / f".probe{TEMPORARY_SUFFIX}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{place}: cannot be written to ({error.strerror}); choose another -o") from error


def sweep(job: Job) -> None:
    """Remove what a killed run left of this very job's outputs. Never touches an output itself."""
    for path in (job.target, *job.extras.values()):
        if path == STANDARD:
            continue
        prefix = f".{path.name[:100]}."
        for left in path.parent.glob(f".*{TEMPORARY_SUFFIX}"):
            if left.name.startswith(prefix):
                left.unlink(missing_ok=True)
