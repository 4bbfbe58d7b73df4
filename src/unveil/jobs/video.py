"""One video: its frames restored one by one with the same noise, its sound copied; whole or not at all.

What is to be fixed is decided for every shot and not for every frame: a fade is no low light, and nothing flickers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from dataclasses import replace as changed

import numpy as np

from unveil.errors import InputError
from unveil.jobs.batch import Restores
from unveil.jobs.inputs import STANDARD
from unveil.jobs.manifest import Row, restored
from unveil.jobs.outputs import Job
from unveil.models import describer
from unveil.models.treatment import treatment
from unveil.networks.condition import KINDS, LIGHT
from unveil.options import Options
from unveil.restorer import Callback
from unveil.util.atomic import replacing
from unveil.video import Frame, opened
from unveil.video import writer as writer_for

_CUT = 0.5
"""Share of the pixels that change their level of brightness between two frames from which they belong to two shots."""
_LEVELS = 16
_SPACING = 6
"""Frames from one that is described to the next; the first of a shot is always described."""

Describe = Callable[[np.ndarray], Mapping[str, float]]


@dataclass
class Shot:
    """first: its first frame. described: probabilities by kind of some of its frames."""

    first: int
    described: list[Mapping[str, float]] = field(default_factory=list)

    @property
    def probabilities(self) -> dict[str, float]:
        """By kind, of the whole shot: the mean over its frames, and for damage to the light the least.

        Damage to the light of a shot (haze, a shadow, too little light) is present in all of its frames; a change within the shot is
        intended.
        """
        kinds = {kind for probabilities in self.described for kind in probabilities}
        values = {kind: [probabilities.get(kind, 0.0) for probabilities in self.described] for kind in sorted(kinds)}
        return {kind: min(v) if kind in LIGHT else float(np.mean(v)) for kind, v in values.items()}


def shots(frames: Iterable[np.ndarray], describe: Describe) -> list[Shot]:
    """The shots of a clip, in order.

    Args:
        frames: (H, W, 3) float in [0, 1], in order; looked at once.
        describe: Probabilities of the kinds of damage of one frame.

    """
    found: list[Shot] = []
    before: np.ndarray | None = None
    for number, pixels in enumerate(frames):
        share = _brightness(pixels)
        if before is None or np.abs(share - before).sum() / 2 > _CUT:
            found.append(Shot(number))
        if (number - found[-1].first) % _SPACING == 0:
            found[-1].described.append(describe(pixels))
        before = share
    return found


def _brightness(pixels: np.ndarray) -> np.ndarray:
    """(_LEVELS,) shares of the pixels by their brightness; a pixel counts for both neighbouring levels, so that a slow fade changes the
    shares little.
    """
    light = pixels[::4, ::4].mean(axis=2).ravel() * (_LEVELS - 1)
    low = np.floor(light).astype(int).clip(0, _LEVELS - 1)
    up = light - low
    counts = np.bincount(low, 1 - up, _LEVELS) + np.bincount(np.minimum(low + 1, _LEVELS - 1), up, _LEVELS)
    return counts / max(1, light.size)


class Decisions:
    """Options for every frame of a clip, whose shots were found before."""

    def __init__(self, found: list[Shot], options: Options, fixable: tuple[str, ...] = KINDS) -> None:
        keep = options.keep
        self._first = [shot.first for shot in found]
        self._options = [
            changed(options, keep=(), told=dict(treatment(shot.probabilities, None, keep, fixable).probabilities))
            for shot in found
        ]

    def options(self, frame: int) -> Options:
        """What frame number `frame` is restored with."""
        return self._options[int(np.searchsorted(self._first, frame, side="right")) - 1]


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
    told, size = (*clip.notes, *notes, *writer.notes), (clip.width, clip.height)
    return restored(job.source, [job.target], seconds, size, options.seed, protocol, told)


def _decided(restorer: Restores, job: Job, options: Options) -> Decisions | None:
    """What is fixed in each shot; None where the options say it, or the model is not conditioned on kinds of damage."""
    spec = getattr(getattr(restorer, "model", None), "spec", None)
    if spec is None or not spec.conditioned or options.fix is not None or options.told is not None:
        return None
    speaker = describer.shipped()
    with opened(job.source, options.max_pixels) as clip:
        frames = (item.pixels for item in clip if isinstance(item, Frame))
        return Decisions(shots(frames, lambda pixels: speaker.describe(pixels).probabilities), options, spec.fixable)
