"""One video: its frames restored one by one with the same noise, its sound copied; whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace as changed

from unveil.errors import InputError
from unveil.jobs.finding import STANDARD
from unveil.jobs.manifest import Row
from unveil.jobs.queue_restorers import Restores
from unveil.jobs.shots import Decisions, shots
from unveil.jobs.targets import Job
from unveil.models import describer
from unveil.options import Options
from unveil.restorer import Callback
from unveil.util.atomic import replacing
from unveil.video import Frame, opened
from unveil.video import writer as writer_for

_UNCERTAIN = ("std", "overlay")


def restore(
    restorer: Restores,
    job: Job,
    options: Options,
    watch: Callable[[int], AbstractContextManager[Callback | None]],
    *,
    strip: bool = False,
) -> Row:
    """Restore the video `job.source` into `job.target`; returns its row.

    Every frame is restored from the same seed, and the noise is indexed by position: where the picture stands still, so does the
    result. What is to be fixed is decided for every shot, in a first pass. One frame is held at a time. watch: number of frames (0 where
    unknown) -> the context around the work.

    Raises InputError for a video that cannot be read or written; then, and after any interruption, nothing is left of the target.
    """
    if job.target == STANDARD:
        raise InputError(f"{job.source}: a video cannot be written to standard output; name a file with -o")
    if any(kind in job.extras for kind in _UNCERTAIN):
        raise InputError(
            f"{job.source}: --uncertainty is for photographs, a clip has no picture of it; leave it out, or take single frames"
        )
    decisions = _decided(restorer, job, options)
    seconds, protocol, notes, number = 0.0, {}, dict[str, None](), 0
    with (
        opened(job.source, options.max_pixels) as clip,
        replacing(job.target) as temporary,
        writer_for(temporary, job.target.suffix, clip, strip=strip) as writer,
        watch(clip.count) as callback,
    ):
        for item in clip:
            if not isinstance(item, Frame):
                writer.copy(item)
                continue
            how = options if decisions is None else decisions.options(number)
            number += 1
            result = restorer.restore(item.pixels, how, callback=callback)
            writer.add(changed(item, pixels=result.image))
            seconds, protocol = seconds + result.seconds, result.protocol
            notes |= dict.fromkeys(result.notes)
    if job.extras:
        notes["no further pictures are made of a video"] = None
    return Row(
        input=str(job.source),
        output=str(job.target),
        status="restored",
        outputs=(str(job.target),),
        seconds=round(seconds, 3),
        size=(clip.width, clip.height),
        seed=options.seed,
        sha256=protocol.get("sha256", ""),
        protocol=protocol,
        notes=(*clip.notes, *notes, *writer.notes),
    )


def _decided(restorer: Restores, job: Job, options: Options) -> Decisions | None:
    """What is fixed in each shot; None where somebody said so, or the model cannot be told."""
    spec = getattr(getattr(restorer, "model", None), "spec", None)
    if spec is None or not spec.told or options.fix is not None or options.told is not None:
        return None
    speaker = describer.shipped()
    with opened(job.source, options.max_pixels) as clip:
        frames = (item.pixels for item in clip if isinstance(item, Frame))
        return Decisions(shots(frames, lambda pixels: speaker.describe(pixels).probabilities), options)
