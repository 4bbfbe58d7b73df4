"""Writing one restoration and the pictures beside it, each whole or not at all, the restoration last."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unveil import photo
from unveil.jobs.finding import STANDARD
from unveil.jobs.targets import Job
from unveil.restoration import Restoration
from unveil.util.atomic import replace

if TYPE_CHECKING:
    from PIL import Image


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
"""Kinds of further pictures: the deviation, what the model invented, and before beside after."""


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
