"""Making many image files: in parallel, each whole or absent, and only those that are still missing.

Super-resolution pairs are made so from clean photographs, reduced and enlarged by MATLAB's bicubic (the DIV2K protocol).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from unveil.data.bicubic import low_resolution
from unveil.data.store import decode, images_in
from unveil.errors import UnveilError
from unveil.util.atomic import aside

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


def build(
    photos: Path, output: Path, scale: int = 4, workers: int = 1, progress: Callable[[int], None] | None = None
) -> Outcome:
    """Write output/degraded/NAME.png and output/clean/NAME.png, of equal size, for every photograph; those there are kept.

    Subfolders are kept. Raises InputError for a missing or empty folder; a photograph that cannot be used is in `failed`.
    """

    def make(path: Path) -> bool:
        name = path.relative_to(photos).with_suffix(".png")
        targets = [output / side / name for side in ("degraded", "clean")]
        if all(t.exists() for t in targets):
            return False
        for target, pixels in zip(targets, low_resolution(decode(path), scale), strict=True):
            save_png(target, pixels)
        return True

    return work(images_in(photos), make, workers, progress)
