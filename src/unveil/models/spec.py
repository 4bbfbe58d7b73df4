"""What a model is, as data that travels inside its weight file: nothing in the callers asks which model it is."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any

from unveil.diffusion import Process, Schedule, cosine_pro, cubic, linear_pro, residual
from unveil.errors import InputError, ModelError

_SCHEDULES = {"linear_pro": linear_pro, "cosine_pro": cosine_pro, "cubic": cubic}
MOST_STEPS = 200


def schedule(name: str) -> Schedule:
    """The schedule written as "linear_pro(12)", "cosine_pro(10)" or "cubic(5)". Raises ModelError for anything else."""
    match = re.fullmatch(r"(\w+)\((\d+)\)", name)
    if not match or match[1] not in _SCHEDULES:
        raise ModelError(
            f"unknown schedule {name!r}; write one of {', '.join(_SCHEDULES)} with its number of steps, as linear_pro(12)"
        )
    return _SCHEDULES[match[1]](int(match[2]))


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
    """network: kind and size. schedule: the trained one. sampler: "diffusion" or "one_shot". value_range: of the network's images."""

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

    def process(self, grid: str | None = None, steps: int | None = None) -> Process:
        """The path on the wanted grid. Raises InputError for an unknown grid or a number of steps it does not have."""
        grid = grid or self.defaults.grid
        steps = self.defaults.steps if steps is None else steps
        if grid == "cubic":
            if not 1 <= steps <= MOST_STEPS:
                raise InputError(f"steps must be between 1 and {MOST_STEPS} on the cubic grid, got {steps}")
            return residual(cubic(steps))
        if grid != self.schedule.split("(")[0]:
            raise InputError(f"unknown grid {grid!r}; this model has {self.schedule.split('(')[0]} and cubic")
        return residual(schedule(self.schedule)).evenly(steps)

    def to_json(self) -> str:
        """One line of JSON; `Spec.from_json` reads it back equal."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Inverse of `to_json`. Raises ModelError for text that is no specification."""
        try:
            tree = json.loads(text)
            tree["value_range"], tree["dtypes"] = tuple(tree["value_range"]), tuple(tree["dtypes"])
            return cls(**{**tree, "defaults": Defaults(**tree["defaults"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"the model's description cannot be read ({error}); was it written by a newer version?"
            ) from error
