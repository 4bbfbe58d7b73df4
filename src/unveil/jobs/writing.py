"""Writing one restoration and the pictures beside it, each whole or not at all, the restoration last."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from unveil import figures, photo
from unveil.jobs.finding import STANDARD
from unveil.jobs.targets import Job
from unveil.photo.atomic import replace
from unveil.restorer import Restoration


def _std(result: Restoration) -> Image.Image | None:
    return None if result.std is None else figures.deviation(result.std)


def _compare(result: Restoration) -> Image.Image | None:
    return (
        None
        if result.source is None
        else figures.side_by_side([result.source.pixels, result.image], ["before", "after"])
    )


EXTRAS: dict[str, Callable[[Restoration], Image.Image | None]] = {"std": _std, "compare": _compare}
"""Kinds of further pictures: the deviation of the draws, and before beside after."""


def write(
    result: Restoration, job: Job, *, strip: bool = False, ext: str = "auto"
) -> tuple[list[Path], tuple[str, ...]]:
    """Write the restoration of `job`; returns the files, the restoration first, and notes on what the format could not hold.

    A run that is killed in between has no target yet, so that running again with `skip_existing` does this photograph anew.
    """
    assert result.source is not None
    if job.target == STANDARD:
        notes = photo.write(result.source, result.image, sys.stdout.buffer, None if ext == "auto" else ext, strip)
        sys.stdout.buffer.flush()
        return [STANDARD], notes
    written = []
    for kind, path in job.extras.items():
        picture = EXTRAS[kind](result)
        if picture is not None:
            data = io.BytesIO()
            picture.save(data, "PNG")
            replace(path, data.getvalue())
            written.append(path)
    return [job.target, *written], photo.write(result.source, result.image, job.target, strip=strip)
