"""Image files: their size and pixels, many of them kept in bounded memory, resized as MATLAB does it, and many made in parallel.

Super-resolution pairs are made from clean photographs, reduced and enlarged by MATLAB's bicubic (the DIV2K protocol): Keys' kernel
with a = -1/2 (Keys 1981, eq. 4), stretched by the reduction when shrinking (antialiasing), sample centres aligned, borders
mirrored with the edge repeated.
"""

from __future__ import annotations

import io
import json
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from unveil.errors import InputError, UnveilError, note
from unveil.util.atomic import aside
from unveil.util.exif import bare, of_png, orientation, upright
from unveil.util.quiet import quiet
from unveil.util.suffixes import READABLE, TRAINING
from unveil.util.words import several

Kernel = Callable[[np.ndarray], np.ndarray]


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981, eq. 4), zero beyond 2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def resize_matrix(
    length: int,
    new_length: int,
    scale: float,
    kernel: Kernel = cubic,
    support: float = 2.0,
    *,
    antialias: bool = True,
    mirror: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Which source samples make each new sample, and by what weights: two arrays (new_length, taps).

    Sample centres are aligned (u = (i + 1/2) / scale - 1/2); with `antialias` the kernel is stretched by 1/scale when shrinking.
    Outside the image the samples are mirrored with the edge repeated, or held at the edge (`mirror` False).
    """
    stretch = min(scale, 1.0) if antialias else 1.0
    support = support / stretch
    centre = (np.arange(new_length) + 0.5) / scale - 0.5
    taps = ceil(2 * support) + 2
    index = np.floor(centre - support)[:, None].astype(int) + np.arange(taps)
    weight = kernel((centre[:, None] - index) * stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    if mirror:
        index = index % (2 * length)
        index = np.where(index >= length, 2 * length - 1 - index, index)
    return np.clip(index, 0, length - 1), weight


def weights(length: int, new_length: int) -> np.ndarray:
    """(new_length, length) matrix of one axis: row i holds the shares of the old samples in new sample i; rows sum to 1."""
    index, share = resize_matrix(length, new_length, new_length / length)
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], index), share)
    return matrix


def bicubic(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (*size, 3) uint8, computed in double precision, clipped and rounded once at the end.

    That is im2uint8(imresize(im2double(...))) in MATLAB's words. Shrinking
    comes first where one axis shrinks and the other grows. Raises InputError for an empty size.
    """
    if min(size) < 1:
        raise InputError(f"cannot resize to {size[1]} x {size[0]} pixels")
    out = pixels.astype(np.float64)
    for axis in sorted((0, 1), key=lambda a: size[a] / pixels.shape[a]):
        if out.shape[axis] != size[axis]:
            out = np.moveaxis(np.tensordot(weights(out.shape[axis], size[axis]), out, axes=(1, axis)), 0, axis)
    return np.floor(np.clip(out, 0, 255) + 0.5).astype(np.uint8)


def low_resolution(pixels: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(degraded, clean) for super-resolution by `scale`: clean cut to a multiple of it, degraded reduced and enlarged again.

    Both (H', W', 3) uint8 of equal size; the reduced image is rounded to 8 bits in between, as it would be on disk.
    Raises InputError for a scale below 2 or an image smaller than it.
    """
    _check_scale(scale)
    h, w = pixels.shape[0] // scale * scale, pixels.shape[1] // scale * scale
    if min(h, w) == 0:
        raise InputError(f"an image of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be reduced {scale} times")
    clean = pixels[:h, :w]
    return bicubic(bicubic(clean, (h // scale, w // scale)), (h, w)), clean


# What Pillow's many readers raise for files they cannot make sense of.
_FAULTS = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class Unreadable(InputError):
    """A file that cannot be read as an image. The message names it and what was wrong."""


def images_in(folder: Path, but: Iterable[Path] = ()) -> list[Path]:
    """Image files in a folder and below it, sorted by path; what begins with a dot there, files and folders, is passed over, and with a
    note so are photographs of kinds that are not trained on.

    Raises InputError if the folder is missing or holds none. but: files and folders below it that are left out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of photographs")
    root = folder.resolve()
    out = [left for left in (Path(path).resolve() for path in but) if root in left.parents]
    named = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in READABLE
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        and not any((root / p.relative_to(folder)).is_relative_to(left) for left in out)
    )
    found = [p for p in named if p.suffix.lower() in TRAINING]
    others = [p for p in named if p.suffix.lower() not in TRAINING]
    kinds = ", ".join(sorted({p.suffix.lower() for p in others}))
    if not found:
        there = f"; {several(others)} ({kinds}) must be saved as one of these first" if others else ""
        raise InputError(f"{folder}: no images here (looked for {', '.join(TRAINING)}){there}")
    if others:
        note(f"{several(others)}: passed over, since {kinds} is not read here; save as one of {', '.join(TRAINING)}")
    return found


def size(path: Path) -> tuple[int, int]:
    """(height, width) as displayed, from the header. Raises Unreadable."""
    try:
        with quiet(), path.open("rb") as file, Image.open(file) as image:
            width, height = image.size
            turned = _orientation(image, file) >= 5
    except _FAULTS as error:
        raise _unreadable(path, error) from error
    return (width, height) if turned else (height, width)


def _unreadable(path: Path, error: Exception) -> Unreadable:
    """What was wrong with a file and what to do, in the words of `photo.read`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        told = "no such file; check the path"
    elif isinstance(error, OSError) and error.strerror:
        told = f"cannot be opened ({error.strerror}); check the path and its permissions"
    elif path.stat().st_size == 0:
        told = "the file is empty (0 bytes); copy it again from its source"
    elif isinstance(error, UnidentifiedImageError):
        told = "is not an image, or its beginning is damaged; give a JPEG, PNG, BMP, WebP or TIFF"
    else:
        told = f"cannot be read: {reason[:300]}; if it opens elsewhere, save it again there"
    return Unreadable(f"{path}: {told}")


def decode(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: EXIF orientation applied, alpha dropped, 16-bit grey reduced to 8. Raises Unreadable.

    Colour profiles are not converted: what a photograph's numbers say is what a network is trained on.
    """
    try:
        # From memory: an uncompressed TIFF that Pillow (12.3) maps from its path is read with the turned width, scrambled.
        data = io.BytesIO(path.read_bytes())
        with quiet(), Image.open(data) as image:
            turn = _orientation(image, io.BytesIO(data.getbuffer()))
            if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip instead of scale
                grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return upright(np.repeat(grey[:, :, None], 3, axis=2), turn)
            return upright(np.asarray(image.convert("RGB")), turn)
    except _FAULTS as error:
        raise _unreadable(path, error) from error


def _orientation(image: Image.Image, file: BinaryIO) -> int:
    """The EXIF orientation, 1 to 8, that Pillow leaves to its caller, by the rule that photographs are restored and scored by."""
    if image.format == "TIFF":
        return 1  # Pillow turns it by itself, as it is read
    return orientation(of_png(file) if image.format == "PNG" else bare(image.info.get("exif")))


def halved(pixels: np.ndarray) -> np.ndarray:
    """(H // 2, W // 2, 3) uint8: rounded means of 2x2 blocks; an odd last row or column is left out."""
    h, w = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    blocks = pixels[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).astype(np.uint16)
    return ((blocks.sum((1, 3)) + 2) // 4).astype(np.uint8)


TOLERATED = 0.01
"""Share of unreadable files above which something is wrong with the folder rather than with a file."""


class Store:
    """A cache of decoded pictures, the least recently used dropped first; threads may share it.

    limit: bytes of pixels kept (a picture in use is returned whether it fits or not). counted: how many files there are
    in all, for the share of unreadable ones. unreadable: path -> what was wrong.
    """

    def __init__(self, limit: int = 2 << 30) -> None:
        self.limit = limit
        self.used = 0
        self.counted = 0
        self.unreadable: dict[Path, str] = {}
        self._kept: OrderedDict[Picture, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: everything but the pixels, which that process decodes itself."""
        return {k: v for k, v in vars(self).items() if k not in ("_kept", "_lock")} | {"used": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _kept=OrderedDict(), _lock=threading.Lock())

    def pixels(self, picture: Picture) -> np.ndarray:
        """(H, W, 3) uint8 of `picture.size`. Raises Unreadable, after which the file is on the list."""
        with self._lock:
            if picture in self._kept:
                self._kept.move_to_end(picture)
                return self._kept[picture]
            if picture.path in self.unreadable:
                raise Unreadable(self.unreadable[picture.path])
        out = self.decoded(picture)
        self._keep(picture, out)
        return out

    def decoded(self, picture: Picture) -> np.ndarray:
        """As `pixels`, from the file and not kept."""
        try:
            return self._make(picture)
        except Unreadable as error:
            self.refuse(picture.path, str(error))
            raise

    def fits(self, pictures: Collection[Picture]) -> bool:
        """Whether all of these pictures can be kept together."""
        return sum(3 * picture.size[0] * picture.size[1] for picture in pictures) <= self.limit

    def fill(self, pictures: Collection[Picture]) -> bool:
        """Decode all of these pictures if together they fit, so that processes forked from this one share what is in memory once.

        A file that cannot be read goes on the list. False where they do not fit, and nothing is decoded then.
        """
        if not self.fits(pictures):
            return False
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._tried, pictures))
        return True

    def _tried(self, picture: Picture) -> None:
        with suppress(Unreadable):  # it is on the list of unreadable files, and raised again where it is drawn
            self.pixels(picture)

    def _make(self, picture: Picture) -> np.ndarray:
        out = decode(picture.path)
        if picture.half:
            out = halved(out)
        elif picture.enlarge:
            out = bicubic(out, picture.size)
        if out.shape[:2] != picture.size:
            raise Unreadable(f"{picture.path}: its pixels are {out.shape[:2]}, its header says {picture.size}")
        return out

    def _keep(self, picture: Picture, pixels: np.ndarray) -> None:
        if pixels.nbytes > self.limit:
            return
        with self._lock:
            if picture in self._kept:
                return
            self._kept[picture] = pixels
            self.used += pixels.nbytes
            while self.used > self.limit:
                self.used -= self._kept.popitem(last=False)[1].nbytes

    def refuse(self, path: Path, reason: str) -> None:
        """Put a file on the list of unreadable ones."""
        with self._lock:
            self.unreadable[path] = reason

    def check(self) -> None:
        """Raise InputError when more than TOLERATED of the counted files turned out to be unreadable, naming the first 20."""
        bad = sorted(self.unreadable)
        if len(bad) > TOLERATED * self.counted:
            named = "; ".join(self.unreadable[p] for p in bad[:20])
            more = f"; and {len(bad) - 20} more" if len(bad) > 20 else ""
            raise InputError(
                f"{len(bad)} of {self.counted} image files cannot be read, more than {TOLERATED:.0%}: {named}{more}. "
                "Replace or remove them"
            )


@dataclass(frozen=True)
class Picture:
    """One image as training sees it, decoded when its pixels are asked for.

    size: (height, width). half: reduced twice from the file. enlarge: brought to `size` by bicubic.
    """

    store: Store = field(compare=False, repr=False)
    path: Path
    size: tuple[int, int]
    half: bool = False
    enlarge: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        return (*self.size, 3)

    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8. Raises Unreadable."""
        return self.store.pixels(self)


Job = TypeVar("Job")


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 3) uint8 losslessly, aside and renamed. The folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=3)


@dataclass
class Outcome:
    """made, there: files newly made and found already there. failed: what went wrong, one sentence each."""

    made: int = 0
    there: int = 0
    failed: list[str] = field(default_factory=list)


def work(
    jobs: Iterable[Job],
    make: Callable[[Job], bool],
    workers: int,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """make(job) for every job in `workers` threads; it returns whether it had to make anything.

    An UnveilError of one job is noted and the others go on; any other exception (a full disk, Ctrl-C) stops the work.
    progress: called with the number of jobs done.
    """
    outcome = Outcome()
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures = [pool.submit(make, job) for job in jobs]
        for done, future in enumerate(as_completed(futures), 1):
            try:
                fresh = future.result()
                outcome.made += fresh
                outcome.there += not fresh
            except UnveilError as error:
                outcome.failed.append(str(error))
            if progress is not None:
                progress(done)
    finally:
        pool.shutdown(cancel_futures=True)
    outcome.failed.sort()
    return outcome


def _check_scale(scale: int) -> None:
    if scale < 2:
        raise InputError(f"the scale of super-resolution must be 2 or more, got {scale}")


def unreduced(photos: Path, output: Path) -> list[Path]:
    """The photographs that `build` makes pairs of: not those that it made, where `output` lies among them."""
    return images_in(photos, [output / side for side in ("degraded", "clean")])


def build(
    photos: Path, output: Path, scale: int = 4, workers: int = 1, progress: Callable[[int], None] | None = None
) -> Outcome:
    """Write output/degraded/NAME.png and output/clean/NAME.png, of equal size, for every photograph; those there are kept.

    Subfolders are kept. Raises InputError for a scale below 2, a missing or empty folder, for photographs that would be written under one
    name, or over, and where `output` holds pairs of another scale; a photograph that cannot be used is in `failed`.
    """
    _check_scale(scale)
    for side in ("degraded", "clean"):
        if photos.resolve().is_relative_to((output / side).resolve()):
            raise InputError(f"{photos} would be written over by its own pairs; name another output than {output}")
    found = unreduced(photos, output)
    first: dict[Path, Path] = {}
    for path in found:
        name = path.relative_to(photos).with_suffix(".png")
        if first.setdefault(name, path) != path:
            raise InputError(f"{first[name]} and {path} would both be written as {name}; rename one, or leave it out")
    agree(output / "superresolution.json", {"scale": scale})

    def make(path: Path) -> bool:
        name = path.relative_to(photos).with_suffix(".png")
        targets = [output / side / name for side in ("degraded", "clean")]
        if all(t.exists() for t in targets):
            return False
        pixels = decode(path)
        try:
            pair = low_resolution(pixels, scale)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        for target, made in zip(targets, pair, strict=True):
            save_png(target, made)
        return True

    return work(found, make, workers, progress)


def agree(path: Path, settings: dict[str, int]) -> None:
    """Note the settings that pairs are made with in a file beside them. Raises InputError where it names others: two kinds do not mix."""
    if path.exists():
        before = json.loads(path.read_text())
        if before != settings:
            changed = ", ".join(f"{k} {before.get(k)} -> {v}" for k, v in settings.items() if before.get(k) != v)
            raise InputError(
                f"{path.parent} holds pairs made otherwise ({changed}); choose another folder or the same settings"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings) + "\n")
