"""What is to be fixed in a clip, decided for every shot and not for every frame: a fade is no low light, and nothing flickers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as changed

import numpy as np

from unveil.models.treatment import treatment
from unveil.networks.condition import LIGHT
from unveil.options import Options

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

        What harms the light of a shot (haze, a shadow, too little light) is there in all of it; what comes and goes was meant.
        """
        kinds = {kind for said in self.described for kind in said}
        values = {kind: [said.get(kind, 0.0) for said in self.described] for kind in sorted(kinds)}
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
    """(_LEVELS,) shares of the pixels by their brightness; neighbouring levels share, so that a slow fade moves them little."""
    light = pixels[::4, ::4].mean(axis=2).ravel() * (_LEVELS - 1)
    low = np.floor(light).astype(int).clip(0, _LEVELS - 1)
    up = light - low
    counts = np.bincount(low, 1 - up, _LEVELS) + np.bincount(np.minimum(low + 1, _LEVELS - 1), up, _LEVELS)
    return counts / max(1, light.size)


class Decisions:
    """Options for every frame of a clip, whose shots were found before."""

    def __init__(self, found: list[Shot], options: Options) -> None:
        keep = options.keep
        self._first = [shot.first for shot in found]
        self._options = [
            changed(options, keep=(), told=dict(treatment(shot.probabilities, None, keep).probabilities))
            for shot in found
        ]

    def options(self, frame: int) -> Options:
        """What frame number `frame` is restored with."""
        return self._options[int(np.searchsorted(self._first, frame, side="right")) - 1]
