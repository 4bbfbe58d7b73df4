"""Super-resolution pairs from clean photographs, reduced and enlarged by MATLAB's bicubic (the DIV2K protocol)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unveil.data.bicubic import low_resolution
from unveil.data.decoding import decode, images_in
from unveil.data.writing import Outcome, save_png, work


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
