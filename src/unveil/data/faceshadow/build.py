"""The data set on disk: pair i is a function of (seed, i), identities are split, what is there is kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unveil.data.bicubic import bicubic
from unveil.data.crops import rng
from unveil.data.decoding import decode, images_in
from unveil.data.faceshadow.shade import cast, draw
from unveil.data.writing import Outcome, save_png, work
from unveil.errors import InputError

ONE_IN = 30
"""One pair in so many, and as large a share of the identities, is for validation (29,000 and 1,000 in the paper)."""


@dataclass(frozen=True)
class Settings:
    """What decides the pixels besides the faces."""

    seed: int = 0
    size: int = 512


def identity(face: Path, root: Path) -> str:
    """The folder a face lies in below `root`, or its own name where the folder is flat; made of letters, digits and dashes."""
    name = face.relative_to(root).parent.as_posix() if face.parent != root else face.stem
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "face"


def split(faces: list[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """(training, validation) faces by identity. Which identities are held out depends on their names alone."""
    names = sorted({identity(f, root) for f in faces}, key=lambda n: hashlib.sha256(n.encode()).hexdigest())
    held = set(names[: max(1, round(len(names) / ONE_IN))]) if len(names) > 1 else set()
    return [f for f in faces if identity(f, root) not in held], [f for f in faces if identity(f, root) in held]


def square(face: np.ndarray, side: int) -> np.ndarray:
    """The central square of a face at `side` pixels."""
    h, w = face.shape[:2]
    n = min(h, w)
    return bicubic(face[(h - n) // 2 : (h - n) // 2 + n, (w - n) // 2 : (w - n) // 2 + n], (side, side))


def build(
    faces: Path,
    output: Path,
    count: int,
    settings: Settings | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Write `count` pairs below output/train and output/validation as degraded/NAME.png and clean/NAME.png.

    The same faces, seed and size give the same files whatever the number of workers and however often it was interrupted;
    asking for more later adds to them. Raises InputError for a missing or empty folder, or an output of other settings.
    """
    settings = settings or Settings()
    if count < 1 or not 32 <= settings.size <= 4096:
        raise InputError(
            f"the number of pairs must be 1 or more and their size 32 to 4096 pixels, got {count} and {settings.size}"
        )
    found = images_in(faces)
    sides = split(found, faces)
    _agree(output / "faceshadow.json", {**asdict(settings), "faces": len(found)})

    def make(index: int) -> bool:
        validation = index % ONE_IN == ONE_IN - 1 and bool(sides[1])
        generator = rng(settings.seed, index)
        files = sides[validation]
        face = files[int(generator.integers(len(files)))]
        name = f"{identity(face, faces)}_{index:06d}.png"
        folder = output / ("validation" if validation else "train")
        clean, degraded = folder / "clean" / name, folder / "degraded" / name
        if clean.exists() and degraded.exists():
            return False
        pixels = square(decode(face), settings.size)
        save_png(clean, pixels)
        save_png(degraded, cast(pixels, draw(generator, settings.size)))
        return True

    return work(range(count), make, workers, progress)


def _agree(path: Path, settings: dict[str, int]) -> None:
    """Note the settings beside the data, or refuse to mix two kinds."""
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


def sheet(output: Path, rows: int = 4, columns: int = 6, side: int = 192, gap: int = 4) -> Path:
    """Write output/sheet.png: pairs spread over the training set, each degraded above its clean face, and return its path."""
    files = images_in(output / "train" / "degraded")
    picked = [
        files[round(i * (len(files) - 1) / max(1, rows * columns - 1))] for i in range(min(rows * columns, len(files)))
    ]
    page = np.full((rows * (2 * side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for i, path in enumerate(picked):
        top, left = i // columns * (2 * side + gap), i % columns * (side + gap)
        for k, name in enumerate((path, output / "train" / "clean" / path.name)):
            page[top + k * side : top + (k + 1) * side, left : left + side] = bicubic(decode(name), (side, side))
    save_png(output / "sheet.png", page)
    return output / "sheet.png"
