"""What a model is, as data that travels inside its weight file: nothing in the callers asks which model it is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from unveil.diffusion import Process, cubic, residual
from unveil.errors import InputError, ModelError
from unveil.models import bounds
from unveil.models.paths import RESIDUAL, name_of, path

MOST_STEPS = 200


@dataclass(frozen=True)
class Defaults:
    """How a model is run when the caller does not say: chosen on held-out photographs, argued in docs/choices.md.

    grid: "cubic" (any number of steps) or the trained schedule's name. low: long side of the low-resolution stage in pixels.
    """

    grid: str = "linear_pro"
    steps: int = 5
    solver: str = "ancestral"
    fidelity: float = 0.0
    resolution: str = "coarse_to_fine"
    low: int = 160
    switch: str = "residual"


@dataclass(frozen=True)
class Spec:
    """network: kind and size (see `kinds`). schedule: the trained path (see `paths`). sampler: "diffusion", "one_shot" or, for a network
    that only tells others what it sees, "guide".

    receptive_field: as far as an output pixel can look, by construction. reach: from how many pixels on nothing moves it by a tenth of
    1/255, as measured on photographs (benchmarks/reach.py); 0 where it was not measured.
    value_range: of the network's images. prediction: what the network says (see `diffusion.prediction`). time: what it is
    told, "level" (the noise) or "index" (of the trained step; such a network knows no other grid). A network that is told the
    level on a residual path runs on any grid of such paths; others on the trained one and its subsets.
    """

    name: str
    network: dict[str, Any]
    schedule: str = "linear_pro(12)"
    sampler: str = "diffusion"
    value_range: tuple[float, float] = (-1.0, 1.0)
    prediction: str = "residual"
    multiple_of: int = 16
    min_size: int = 1
    receptive_field: int = 184
    dtypes: tuple[str, ...] = ("fp32", "bf16")
    defaults: Defaults = field(default_factory=Defaults)
    recipe: dict[str, Any] = field(default_factory=dict)
    time: str = "level"
    reach: int = 0

    @property
    def trained_here(self) -> bool:
        """Whether the network is one of this package's own, which were compared in bf16 (docs/speed.md)."""
        return self.network.get("kind", "compact") in ("compact", "experts")

    @property
    def level_told(self) -> bool:
        """Whether the network is told the noise level and predicts the residual (`networks.predictor.Predictor`)."""
        return self.time == "level" and self.prediction == "residual"

    @property
    def told(self) -> bool:
        """Whether the network is told the kinds of damage, so that one can say what to fix."""
        return self.network.get("kind") == "experts"

    def process(self, grid: str | None = None, steps: int | None = None) -> Process:
        """The path on the wanted grid. Raises InputError for an unknown grid or a number of steps it does not have."""
        grid = grid or self.defaults.grid
        steps = self.defaults.steps if steps is None else steps
        trained = name_of(self.schedule)
        free = self.time == "level" and trained in RESIDUAL
        if grid == "cubic" and free:
            if not 1 <= steps <= MOST_STEPS:
                raise InputError(f"steps must be between 1 and {MOST_STEPS} on the cubic grid, got {steps}")
            return residual(cubic(steps))
        if grid != trained:
            others = " and cubic" if free else " alone"
            raise InputError(f"unknown grid {grid!r}; this model has {trained}{others}")
        return path(self.schedule, self.time).evenly(steps)

    def to_json(self) -> str:
        """One line of JSON; `Spec.from_json` reads it back equal."""
        tree = dataclasses.asdict(self)
        for name, usual in (("time", "level"), ("reach", 0)):
            if tree[name] == usual:
                del tree[name]  # so that files of compact models stay byte for byte what they were
        return json.dumps(tree, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Inverse of `to_json`. Raises ModelError for text that is no specification, or out of bounds."""
        try:
            tree = json.loads(text)
            tree["value_range"], tree["dtypes"] = tuple(tree["value_range"]), tuple(tree["dtypes"])
            spec = cls(**{**tree, "defaults": Defaults(**tree["defaults"])})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ModelError(
                f"the model's description cannot be read ({error}); was it written by a newer version?"
            ) from error
        bounds.check(spec)
        path(spec.schedule, spec.time)
        return spec
