"""One video: its frames restored one by one with the same noise, its sound copied; whole or not at all.

What is to be fixed is decided for every shot and not for every frame: a fade is no low light, and nothing flickers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from unveil.errors import InputError
from unveil.jobs.batch import Restores
from unveil.jobs.inputs import STANDARD
from unveil.jobs.manifest import Row, restored
from unveil.jobs.outputs import Job
from unveil.models import describer
from unveil.models.treatment import repeated, treatment
from unveil.networks.condition import LIGHT
from unveil.options import Options
from unveil.restorer import Callback, Restorer
from unveil.util.atomic import replacing
from unveil.util.suffixes import FORMATS
from unveil.video import Frame, opened
from unveil.video import writer as writer_for

_CUT = 0.5
"""Share of the pixels that change their level of brightness between two frames from which they belong to two shots."""
_LEVELS = 16
_OTHER_COLOURS, _ALIKE = 0.25, 0.5
"""They do too where at least so many change their colour and the correlation of what is where is below _ALIKE. Of the pairs of 64
photographs these find 98 in a hundred, brightness alone 27; pans by an eighth, zooms by 1.3, fades and strong noise are none."""
_COLOURS, _CELLS = 4, 16
"""Levels of each channel by which colours are counted; cells of the picture, down and across, whose light is compared."""
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
    """The shots of a clip, in order. frames: (H, W, 3) in [0, 1], looked at once. describe: probabilities of the kinds of damage of one."""
    found: list[Shot] = []
    before: _Look | None = None
    for number, pixels in enumerate(frames):
        look = _Look.of(pixels)
        if before is None or before.is_cut_from(look):
            found.append(Shot(number))
        if (number - found[-1].first) % _SPACING == 0:
            found[-1].described.append(describe(pixels))
        before = look
    return found


@dataclass(frozen=True)
class _Look:
    """What tells the frames of two shots apart.

    brightness: (_LEVELS,) shares of the pixels; a pixel counts for both neighbouring levels, so that a slow fade changes the shares little.
    colours: (_COLOURS ** 3,) shares of the pixels. light: (_CELLS, _CELLS) mean light of each cell.
    """

    brightness: np.ndarray
    colours: np.ndarray
    light: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> _Look:
        """Of a frame (H, W, 3) in [0, 1]."""
        small = pixels[::4, ::4]
        light = small.mean(axis=2)
        level = light.ravel() * (_LEVELS - 1)
        low = np.floor(level).astype(int).clip(0, _LEVELS - 1)
        up = level - low
        counts = np.bincount(low, 1 - up, _LEVELS) + np.bincount(np.minimum(low + 1, _LEVELS - 1), up, _LEVELS)
        colour = (small * _COLOURS).astype(int).clip(0, _COLOURS - 1) @ (_COLOURS**2, _COLOURS, 1)
        colours = np.bincount(colour.ravel(), minlength=_COLOURS**3)
        cells = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(light, np.float32))[None, None], _CELLS)
        return cls(counts / level.size, colours / level.size, cells[0, 0].numpy())

    def is_cut_from(self, after: _Look) -> bool:
        """Whether `after` is the first frame of another shot."""
        if _apart(self.brightness, after.brightness) > _CUT:
            return True
        if _apart(self.colours, after.colours) < _OTHER_COLOURS:
            return False
        a, b = (look.light - look.light.mean() for look in (self, after))
        return float((a * b).mean()) < _ALIKE * float(a.std() * b.std())


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the pixels that two histograms place otherwise."""
    return float(np.abs(a - b).sum() / 2)


_NAMED = 6
"""Shots that have a note of their own."""


class Decisions:
    """Options for every frame of a clip, whose shots were found before. speaker: who described them."""

    def __init__(self, found: list[Shot], options: Options, restorer: Restorer, speaker: str = "") -> None:
        self._first, self._speaker = [shot.first for shot in found], speaker
        fixable = restorer.model.spec.fixable
        self._treatments = [treatment(shot.probabilities, None, options.keep, fixable) for shot in found]
        self._options = [changed(options, keep=(), told=dict(t.probabilities)) for t in self._treatments]
        self._restorers = [restorer.specialist(t) for t in self._treatments]

    def of(self, frame: int) -> tuple[Restorer, Options]:
        """What frame number `frame` is restored by, and how."""
        shot = int(np.searchsorted(self._first, frame, side="right")) - 1
        return self._restorers[shot], self._options[shot]

    def protocol(self) -> dict[str, Any]:
        """What was decided, and by whom: `told` for a clip of one shot, as of a photograph; else `shots`, with the first frame of each."""
        told = [dict(t.probabilities) for t in self._treatments]
        entry = {"first": self._first, "model": [r.model.spec.name for r in self._restorers], "told": told}
        shots = [dict(zip(entry, of, strict=True)) for of in zip(*entry.values(), strict=True)]
        return {"describer": self._speaker} | ({"told": told[0]} if len(told) == 1 else {"told": None, "shots": shots})

    def notes(self) -> list[str]:
        """What was found, in words; for several shots, each where it differs from the one before."""
        said = [t.sentence() for t in self._treatments]
        other = [n for n, sentence in enumerate(said) if n == 0 or sentence != said[n - 1]]
        if len(other) == 1:
            return said[:1]
        more = [f"and {len(other) - _NAMED} more changes"] if len(other) > _NAMED else []
        return [f"from frame {self._first[n] + 1}: {said[n]}" for n in other[:_NAMED]] + more

    def is_said(self, note: str) -> bool:
        """Whether a frame's note is the one on what was told it, which `notes` says of the shot."""
        return any(note == repeated(t.probabilities).sentence() for t in self._treatments)


_UNCERTAIN = ("std", "overlay")


def restore(
    restorer: Restores,
    job: Job,
    options: Options,
    watch: Callable[[int], AbstractContextManager[Callback | None]],
    *,
    strip: bool = False,
    ext: str = "auto",
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
    seconds, protocol, number = 0.0, {}, 0
    notes = dict.fromkeys([] if decisions is None else decisions.notes())
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
            asked, how = (restorer, options) if decisions is None else decisions.of(number)
            number += 1
            result = asked.restore(item.pixels, how, callback=callback)
            writer.add(changed(item, pixels=result.image))
            seconds, protocol = seconds + result.seconds, result.protocol
            notes |= dict.fromkeys(n for n in result.notes if decisions is None or not decisions.is_said(n))
    if decisions is not None:
        protocol = {k: v for k, v in (protocol | decisions.protocol()).items() if v is not None}
    written = job.target.suffix.lower()
    if ext != "auto" and FORMATS.get(written, written) != FORMATS.get(f".{ext.lower().lstrip('.')}"):
        notes[f"written as {written[1:]}, since a clip is not written as {ext} here"] = None
    if job.extras:
        notes["no further pictures are made of a video"] = None
    told, size = (*clip.notes, *notes, *writer.notes), (clip.width, clip.height)
    return restored(job.source, [job.target], seconds, size, options.seed, protocol, told)


def _decided(restorer: Restores, job: Job, options: Options) -> Decisions | None:
    """What is fixed in each shot; None where the options say it, nothing is going to be removed, or the model is not conditioned on kinds
    of damage.
    """
    if not isinstance(restorer, Restorer) or not restorer.model.spec.conditioned:
        return None
    if options.fix is not None or options.told is not None or options.strength == 0:
        return None
    speaker = describer.shipped()
    with opened(job.source, options.max_pixels) as clip:
        frames = (item.pixels for item in clip if isinstance(item, Frame))
        found = shots(frames, lambda pixels: speaker.describe(pixels, restorer.dtype, restorer.model).probabilities)
    return Decisions(found, options, restorer, speaker.speaker)
