"""Where each restoration is written, decided and checked before any is; and writing it, each file whole or not at all. Also which process
works on which output (a locked file beside it, which the system unlocks whenever that process ends).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import mimetypes
import os
import secrets
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from unveil.errors import InputError
from unveil.jobs.inputs import STANDARD, Item, standard_input
from unveil.photo.header import sniff
from unveil.restoration import Restoration
from unveil.util import atomic
from unveil.util.suffixes import FORMATS, RAW
from unveil.video import ANIMATED, is_animation, is_video

if TYPE_CHECKING:
    from PIL import Image


CLAIM_SUFFIX = ".unveil-claim"
_SHOWN = 80


class Claim:
    """The right to write one output, until it is given back."""

    def __init__(self, lock: FileLock | None) -> None:
        self._lock = lock

    def give_back(self) -> None:
        """Give it back."""
        if self._lock is not None:
            # Before it is unlocked: whoever waits for it checks again that it exists.
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release(force=True)
            self._lock = None


def claim(target: Path) -> Claim | None:
    """The claim on an output, or None where another run (or another job of this one) has it.

    Where the file system knows no locks, or it is standard output, everybody has it.
    """
    if target == STANDARD:
        return Claim(None)
    try:
        return _locked(_place(target))
    except Timeout:
        return None
    except (OSError, NotImplementedError):
        return Claim(None)


def forget(left: Path) -> None:
    """Delete a claim whose process is gone; one that is in use stays."""
    try:
        found = _locked(left)
    except (Timeout, OSError, NotImplementedError):
        return
    found.give_back()


def _locked(place: Path) -> Claim:
    lock = FileLock(place, timeout=0, thread_local=False)
    lock.acquire()
    return Claim(lock)


def _place(target: Path) -> Path:
    digest = hashlib.sha256(target.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return target.with_name(f".{target.name[:_SHOWN]}.{digest}{CLAIM_SUFFIX}")


def keep_times(source: Path, targets: list[Path]) -> None:
    """Give outputs the times of the photograph they were made from."""
    times = source.stat()
    for target in targets:
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


FOREIGN = (*RAW, ".exr", ".hdr", ".pdf", ".psd")
"""Suffixes of pictures that are not written here, beside those that the system knows."""
OLD = 3600.0
"""Seconds after which a temporary file with a cut name counts as abandoned."""
PROBE = bytes(1 << 16)
"""What is written to test whether a folder can be written to: an empty file fits on a full disk."""
RAW_TO: dict[str, str] = dict.fromkeys(RAW, ".tif")
"""What is written of camera raw in a folder where no --ext is given."""


@dataclass(frozen=True)
class Job:
    """One photograph: from where, to where. Either may be `-`. extras: further pictures beside the target, by kind."""

    source: Path
    target: Path
    extras: dict[str, Path]

    @property
    def files(self) -> list[Path]:
        """All that is written of it; of a video no further pictures are made."""
        return [self.target, *([] if is_video(self.source) else self.extras.values())]


def plan(
    items: Sequence[Item],
    output: Path | None,
    *,
    folder: bool = False,
    suffix: str = "",
    ext: str = "auto",
    extras: Sequence[str] = (),
    manifest: Path | None = None,
    frames: Path | None = None,
    reads: Sequence[Path] = (),
) -> list[Job]:
    """A target for every item. Makes the output folder and tries that it can be written to; writes nothing else.

    output: None for beside each photograph, under its name with the suffix.
    A folder where `folder` says so, where there are several items, where it is one already, or where its suffix is none that a
    picture or a video could have (`album.v2`); otherwise the file; or `-`.
    suffix: put behind the stem. ext: the photographs' format by its suffix ("png", ".tif"), "auto" keeps the name's own. extras: kinds
    of further pictures, written as STEM_kind.png. manifest, frames: what else the call writes: a file, and a folder of STEM_0001.png and
    so on. reads: files that it reads beside the items.

    Raises InputError where two of the files that are written would be one (by the rules of the folder's file system, which may not tell
    capitals apart), where one would replace a photograph of this call or another file that it reads, or is a folder, for a name that the
    system cannot have, an unknown ext, a suffix or ext beside an output that says it all itself, several items into one file, or a folder
    that refuses.
    """
    ending = "" if ext == "auto" else f".{ext.lower().lstrip('.')}"
    if ending and ending not in FORMATS:
        raise InputError(f"unknown --ext {ext!r}; use auto or one of {', '.join(s[1:] for s in FORMATS)}")
    if any(sep in suffix for sep in ("/", "\\", "\0")):
        raise InputError(f"--suffix {suffix!r} must not name a folder")
    if output == STANDARD:
        if len(items) > 1 or extras:
            raise InputError("standard output takes one photograph and nothing beside it; name a folder with -o")
        if suffix:
            raise InputError("standard output has no name that a --suffix could stand in; leave it out")
        jobs = [Job(item.source, STANDARD, {}) for item in items]  # none in an empty share
        _check(jobs, manifest, frames, reads)
        return jobs
    if output is not None:
        check_folder(items, output, folder=folder)
    folder = (
        output is None
        or folder
        or len(items) > 1
        or output.is_dir()
        or not (_names_a_file(output) or _mistyped(output))
    )
    if output is not None and not folder:
        if suffix:
            raise InputError(
                f"-o {output} is the whole name of the result; leave out --suffix, or name a folder with -o"
            )
        if ending and FORMATS.get(output.suffix.lower()) != FORMATS[ending]:
            raise InputError(f"-o {output} says the format already; leave out --ext {ext}, or name a folder with -o")
    jobs = []
    for item in items:
        if output is None:
            name, target = Path(item.source.name), item.source
        else:
            name = item.place if folder else Path(output.name)
            target = (output if folder else output.parent) / name
        if folder:
            own = _suffix(item.source, name.suffix, ending)
            target = target.with_name(f"{name.stem}{suffix}{own}")
        jobs.append(Job(item.source, target, {kind: target.with_name(f"{target.stem}_{kind}.png") for kind in extras}))
    _check(jobs, manifest, frames, reads)
    for place in {job.target.parent for job in jobs}:
        _open(place)
    return jobs


def _suffix(source: Path, own: str, ending: str) -> str:
    """Of an output: the one asked for, of a clip where that is of a kind with it (pictures that move stay such; `jobs.video` says so); of
    standard input, which has no name, that of its format, by its first bytes.
    """
    if source == STANDARD and not ending:
        kind = sniff(standard_input().peek(64))
        return next(
            (suffix for suffix, form in FORMATS.items() if form == kind), RAW_TO[RAW[0]] if kind == "RAW" else ""
        )
    if not is_video(source):
        return ending or RAW_TO.get(own.lower(), own)
    return ending if ending in ANIMATED and is_animation(source) else own


def check_folder(items: Sequence[Item], output: Path, *, folder: bool = False) -> None:
    """Raise InputError for several photographs into what is named like one file."""
    if len(items) > 1 and not folder and output != STANDARD and not output.is_dir() and _names_a_file(output):
        raise InputError(
            f"{len(items)} photographs cannot be written to one file {output}; name a folder, or write {output}/ for one of that name"
        )


def without_own(items: Sequence[Item], suffix: str, output: Path | None = None) -> list[Item]:
    """The items without what an earlier run wrote beside another one of them, by their names: a.jpg, a_restored.jpg, a_restored_std.png.

    Those that were named are left out as well, since a shell writes the names that `*.jpg` matches. What lies where nothing is written
    stays. output: the folder of the outputs, None for beside each.
    """
    names = {(item.source.parent, item.source.stem) for item in items}
    ends = [suffix, *(f"{suffix}_{kind}" for kind in EXTRAS)]

    def own(item: Item) -> bool:
        here, stem = item.source.parent, item.source.stem
        if output is not None and (output / item.place).parent.resolve() != here.resolve():
            return False
        return any(stem.endswith(end) and (here, stem.removesuffix(end)) in names for end in ends)

    return [item for item in items if not own(item)]


def _names_a_file(output: Path) -> bool:
    """Whether a name that is not there yet is meant as a file: by its suffix. What could be a picture is refused later, by its name."""
    kind = mimetypes.guess_type(f"x{output.suffix}")[0] or ""
    suffix = output.suffix.lower()
    return suffix in FORMATS or suffix in FOREIGN or is_video(output) or kind.startswith(("image/", "video/"))


def _mistyped(output: Path) -> bool:
    """Whether a name for one photograph ends like a file's, in letters, with a suffix that nothing has: refused later, by its name."""
    return output.suffix[1:].isalpha() and 3 <= len(output.suffix) - 1 <= 4


def _check(jobs: Sequence[Job], manifest: Path | None, frames: Path | None, reads: Sequence[Path]) -> None:
    """No two files that a call writes may be one, and none may be one that it reads."""
    folded: dict[Path, bool] = {}

    def same(path: Path) -> str:
        place = path.resolve()
        if place.parent not in folded:
            folded[place.parent] = folds_case(place.parent)
        text = os.path.normcase(place)
        return unicodedata.normalize("NFC", text).casefold() if folded[place.parent] else text

    kept = {same(path): f"{path}, which is read" for path in reads}
    kept |= {same(job.source): f"the photograph {job.source}" for job in jobs if job.source != STANDARD}
    taken: dict[str, Path] = {}
    for job in jobs:
        for path in (job.target, *job.extras.values()) if job.target != STANDARD else ():
            if len(os.fsencode(path.name)) > 255:
                raise InputError(
                    f"{path}: the name is longer than file systems take; use a shorter --suffix or rename {job.source}"
                )
            key = same(path)
            if key in taken:
                raise InputError(
                    f"{job.source} and {taken[key]} would both be written to {path}; rename one, use --ext auto, or write them to "
                    "different folders"
                )
            if key in kept:
                raise InputError(f"{path}: would replace {kept[key]}; write to another folder or under another name")
            taken[key] = job.source
    kept |= {key: f"what is written of {source}" for key, source in taken.items()}
    if manifest is not None:
        if same(manifest) in kept:
            raise InputError(f"--manifest {manifest}: is also {kept[same(manifest)]}; choose another --manifest")
        kept[same(manifest)] = f"the manifest {manifest}"
    if frames is not None:
        _check_frames(jobs, frames, kept, same)


def _check_frames(jobs: Sequence[Job], frames: Path, kept: Mapping[str, str], same: Callable[[Path], str]) -> None:
    """kept: what the frames must not replace, in words."""
    for folder in (frames, *frames.resolve().parents):
        if same(folder) in kept:
            raise InputError(f"--frames {frames}: {folder} is also {kept[same(folder)]}; choose another --frames")
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(same(frames / job.target.stem), job)
        if other is not job:
            raise InputError(
                f"{other.source} and {job.source} would both write frames named {job.target.stem}_0001.png; "
                "rename one, or leave out --frames"
            )
    for key, what in kept.items():
        stem, _, number = Path(key).stem.rpartition("_")
        if number.isdecimal() and len(number) >= 4 and key.endswith(".png") and str(Path(key).with_name(stem)) in seen:
            raise InputError(f"--frames {frames}: {Path(key).name} there is also {what}; choose another --frames")


def folds_case(folder: Path) -> bool:
    """Whether a folder (which need not be there yet) takes names that differ only in capitals for one."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.name:  # the root
        return False
    other = folder.with_name(folder.name.swapcase())
    try:
        return other.name != folder.name and other.exists() and other.samefile(folder)
    except OSError:
        return False


def _open(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        tried(place)
    except FileExistsError as error:
        raise InputError(
            f"{place}: cannot be written to (it is there already and is no folder); choose another -o"
        ) from error
    except OSError as error:
        raise InputError(f"{place}: cannot be written to ({error.strerror}); choose another -o") from error


_PROBED = ".unveil-probe."
"""How the names of files begin that only try whether a folder takes one; no output's temporary file is called so."""


def tried(folder: Path) -> None:
    """Raise OSError where a folder takes no file now, or none with anything in it."""
    probe = folder / f"{_PROBED}{secrets.token_hex(6)}{atomic.TEMPORARY_SUFFIX}"
    try:
        with probe.open("xb") as file:
            file.write(PROBE)
            file.flush()
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)


class Leftovers:
    """What killed runs left in the folders of these outputs, found by one listing of each folder."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._found: dict[tuple[Path, str], list[str]] = {}
        for folder in {job.target.parent for job in jobs if job.target != STANDARD}:
            for entry in _hidden(folder):
                if entry.endswith(CLAIM_SUFFIX):
                    forget(folder / entry)
                elif entry.startswith(_PROBED):
                    # Another process that is just testing the folder does not need it any more.
                    with contextlib.suppress(OSError):
                        (folder / entry).unlink(missing_ok=True)
                elif (target := atomic.target_of(entry)) is not None:
                    self._found.setdefault((folder, target), []).append(entry)

    def sweep(self, job: Job) -> None:
        """Remove what was left of this very job's outputs, which the caller has claimed. Never touches an output itself."""
        for path in (job.target, *job.extras.values()):
            for name in self._found.pop((path.parent, path.name[: atomic.LONGEST]), ()):
                left = path.parent / name
                # Long names are cut: it may be another output's, which somebody is writing just now.
                if len(path.name) <= atomic.LONGEST or _is_old(left):
                    left.unlink(missing_ok=True)


def _hidden(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name.startswith(".")]
    except OSError:
        return []


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD
    except OSError:
        return False


def _std(result: Restoration) -> Image.Image | None:
    if result.uncertainty is None:
        return None
    from unveil import figures

    known = result.calibration
    how = "not calibrated for these settings"
    if known is not None:
        how = f"calibrated on {known.photographs} photographs"
    if result.light_uncertainty is None:
        what = f"standard deviation of {result.protocol['samples']} draws in levels of 255"
    else:
        light = 255 * result.light_uncertainty
        what = f"standard deviation of the error, place by place, in levels of 255; of the light of the whole: ±{light:.1f}"
    return figures.deviation(result.uncertainty, caption=f"{what}; {how}")


def _compare(result: Restoration) -> Image.Image | None:
    if result.source is None:
        return None
    from unveil import figures

    return figures.side_by_side([result.source.pixels, result.image], ["before", "after"])


def _overlay(result: Restoration) -> Image.Image | None:
    if result.uncertainty is None:
        return None
    from unveil import figures

    return figures.overlay(result.image, result.uncertainty)


EXTRAS: dict[str, Callable[[Restoration], Image.Image | None]] = {
    "std": _std,
    "overlay": _overlay,
    "compare": _compare,
}
"""Kinds of further pictures: the standard deviation, the overlay of uncertain parts, and before beside after."""


def write(
    result: Restoration, job: Job, *, strip: bool = False, ext: str = "auto"
) -> tuple[list[Path], tuple[str, ...]]:
    """Write the restoration of `job`; returns the files, the restoration first, and notes on what the format could not hold.

    A run that is killed in between has no target yet, so that running again with `skip_existing` does this photograph anew.
    """
    assert result.source is not None
    if job.target == STANDARD:
        try:
            notes = result.save(sys.stdout.buffer, strip, None if ext == "auto" else ext)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise InputError(
                f"standard output: cannot be written to ({error.strerror}); name a file with -o"
            ) from error
        return [STANDARD], notes
    written = []
    for kind, path in job.extras.items():
        picture = EXTRAS[kind](result)
        if picture is not None:
            data = io.BytesIO()
            picture.save(data, "PNG")
            atomic.replace(path, data.getvalue())
            written.append(path)
    return [job.target, *written], result.save(job.target, strip)
