"""The description of a model, as data in its weight file, so that no code depends on which model it is.

Every number of a description is checked before anything is built from it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from unveil.diffusion import GaussianPath, cubic, residual
from unveil.diffusion.prediction import KINDS as PREDICTIONS
from unveil.diffusion.prediction import current_name
from unveil.diffusion.resolution import READINGS, SWITCHES
from unveil.diffusion.sampling import SOLVERS
from unveil.diffusion.self_ensemble import SIZES
from unveil.errors import InputError, ModelError, note, renamed
from unveil.models.path_config import RESIDUAL, name_of, path
from unveil.networks.condition import KINDS

MAX_SIZE = 65_536
"""The largest size that a layer may have; the words that CLIP knows are 49,408."""
MAX_COUNTS = {
    "blocks": 32, "up_blocks": 32, "bottom": 32, "middle": 32, "layers": 64, "encoder": 32, "decoder": 32, "mults": 64, "kinds": 64,
}  # fmt: skip
"""The largest number under these names: how often something is repeated, or multiplied."""
MAY_BE_NONE = ("blocks", "up_blocks", "bottom", "middle", "encoder", "decoder", "head", "mask_channels")
MAX_LEVELS = 8
"""The longest list of levels; each halves the resolution once more."""
MAX_NAME = 256
"""Characters of a name."""
CHOICES = {
    "sampler": ("diffusion", "one_shot", "guide"), "prediction": (*PREDICTIONS, "residual_and_noise"), "time": ("level", "index"),
    "defaults.solver": SOLVERS, "defaults.resolution": READINGS, "defaults.switch": SWITCHES,
    "defaults.views": SIZES,
}  # fmt: skip
RANGES = {
    "multiple_of": (1, 1024), "min_size": (1, 65_536), "receptive_field": (0, 1 << 20), "reach": (0, 1 << 20),
    "defaults.steps": (1, 10_000), "defaults.low": (1, 65_536), "defaults.fidelity": (0.0, 1.0),
}  # fmt: skip
DTYPES = ("fp32", "bf16", "fp16")


def check_spec(spec: Spec) -> None:
    """Raise ModelError, naming the entry and what it may be, for a description that no model here has."""
    for name, choices in CHOICES.items():
        value = _entry(spec, name)
        if value not in choices:
            _refuse(name, value, f"one of {', '.join(map(str, choices))}")
    for name, (low, high) in RANGES.items():
        value: Any = _entry(spec, name)
        if not _is_number(value, isinstance(low, int)) or not low <= value <= high:
            _refuse(name, value, f"a {'whole ' if isinstance(low, int) else ''}number from {low} to {high}")
    for name in ("name", "schedule", "defaults.grid"):
        if not isinstance(_entry(spec, name), str) or len(_entry(spec, name)) > MAX_NAME:
            _refuse(name, _entry(spec, name), f"a text of at most {MAX_NAME} characters")
    pair = spec.value_range
    if len(pair) != 2 or not all(_is_number(v) and abs(v) <= 1e4 for v in pair) or not pair[0] < pair[1]:
        _refuse("value_range", pair, "two numbers, the smaller first")
    if not set(spec.fixes) <= set(KINDS):
        _refuse("fixes", spec.fixes, f"some of {', '.join(KINDS)}")
    if not spec.dtypes or not set(spec.dtypes) <= set(DTYPES):
        _refuse("dtypes", spec.dtypes, f"some of {', '.join(DTYPES)}")
    check_network(spec.network)


def check_network(sizes: Any, place: str = "network") -> None:
    """Raise ModelError for sizes that no network here has."""
    if not isinstance(sizes, Mapping) or len(sizes) > 32:
        _refuse(place, sizes, "sizes by name")
    for name, value in sizes.items():
        here, most = f"{place}.{name}", MAX_COUNTS.get(str(name), MAX_SIZE)
        if isinstance(value, Mapping):
            check_network(value, here)
            continue
        entries: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(entries) > (MAX_COUNTS["kinds"] if name == "kinds" else MAX_LEVELS):
            _refuse(here, value, f"a list of at most {MAX_LEVELS} entries")
        for entry in entries:
            if isinstance(entry, str) and len(entry) <= MAX_NAME:
                continue
            least = 0 if name in MAY_BE_NONE or isinstance(entry, bool) else 1
            number: Any = entry
            if entry is not None and not (_is_number(entry, True) and least <= number <= most):
                _refuse(here, value, f"a whole number from {least} to {most}, or a list of such")


def _entry(spec: Spec, name: str) -> Any:
    first, _, second = name.partition(".")
    value = getattr(spec, first)
    return getattr(value, second) if second else value


def _is_number(value: Any, whole: bool = False) -> bool:
    if isinstance(value, bool):
        return whole and value in (False, True)
    return isinstance(value, int) or (not whole and isinstance(value, float) and math.isfinite(value))


def _refuse(name: str, value: Any, wanted: str) -> None:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise ModelError(f"the model's description says {name} = {shown}; it must be {wanted}")


MOST_STEPS = 200


@dataclass(frozen=True)
class Defaults:
    """Default settings of a model: chosen on held-out photographs (docs/choices.md gives the reasons).

    Args:
        grid: "cubic" (any number of steps) or the trained schedule's name.
        steps: Network evaluations per draw.
        solver: How a step is taken, one of `diffusion.SOLVERS`.
        fidelity: 0 samples the posterior, 1 follows its mean; between them the noise is scaled down.
        resolution: "coarse_to_fine", "hourglass" or "off".
        low: Long side of the low-resolution stage in pixels.
        switch: What is carried from one resolution to the next (see `diffusion.resolution`).
        views: Mirrored and turned views that an evaluation which decides on the light (of the first of two experts) is the mean of: 1,
            2, 4 or 8 (`diffusion.self_ensemble`). They cost little, since the photograph is reduced there; one where it never is.

    """

    grid: str = "linear_pro"
    steps: int = 5
    solver: str = "ancestral"
    fidelity: float = 0.0
    resolution: str = "coarse_to_fine"
    low: int = 160
    switch: str = "residual"
    views: int = 1


@dataclass(frozen=True)
class Spec:
    """The description of a model.

    A network that is given the noise level on a residual path runs on any grid of such paths; others on the trained grid and its subsets.

    Args:
        name: What the model is called, at most 256 characters.
        network: Kind and sizes of the network (see `models.network_registry`).
        schedule: The trained path (see `models.path_config`).
        sampler: "diffusion", "one_shot" or, for a network that describes photographs to other networks and restores none, "guide".
        value_range: Black and white of the network's images.
        prediction: What the network predicts (see `diffusion.prediction`).
        multiple_of: Height and width that the network takes without padding are multiples of it.
        min_size: Deprecated and ignored: photographs of any size are restored. It goes in 0.2.
        receptive_field: Distance in pixels within which an output pixel depends on the input, by construction.
        dtypes: Precisions that the model was tried in, of "fp32", "bf16" and "fp16".
        defaults: Its default settings.
        recipe: How it was trained, as plain values.
        time: What the network takes as time: "level", the noise level, or "index", that of the trained step.
        reach: Distance in pixels beyond which nothing moves an output pixel by a tenth of 1/255, as measured on photographs
            (benchmarks/reach.py); 0 where it was not measured.
        fixes: The kinds of damage that a conditioned network was trained for; none for all of `networks.condition.KINDS`.

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
    fixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.min_size, int) and self.min_size > 1:
            note(
                "Spec.min_size is ignored, since photographs of any size are restored; it has no successor and goes in 0.2: leave it out",
                stacklevel=3,
            )
        if (now := current_name(self.prediction)) != self.prediction:
            note(f"the prediction {self.prediction} is called {now}; the old name goes in 0.2", stacklevel=3)
            object.__setattr__(self, "prediction", now)

    @property
    def trained_here(self) -> bool:
        """Whether the network is one of this package's own, which were compared in bf16 (docs/speed.md)."""
        return self.network.get("kind", "compact") in ("compact", "experts")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The names of 0.1, which go in 0.2."""
            return renamed(self, name, {"told": "conditioned", "level_told": "residual_at_level"})

    @property
    def residual_at_level(self) -> bool:
        """Whether the network takes the noise level and predicts the residual (`networks.predictor.Predictor`)."""
        return self.time == "level" and self.prediction == "residual"

    @property
    def conditioned(self) -> bool:
        """Whether the network is conditioned on the kinds of damage, so that one can say what to fix."""
        return self.network.get("kind") == "experts" or bool(self.network.get("conditioned"))

    @property
    def fixable(self) -> tuple[str, ...]:
        """The kinds of damage that one can ask for; none where the network is not conditioned on them."""
        return tuple(k for k in KINDS if not self.fixes or k in self.fixes) if self.conditioned else ()

    def process(self, grid: str | None = None, steps: int | None = None) -> GaussianPath:
        """The path on the wanted grid. Raises InputError for an unknown grid or a number of steps it does not have."""
        steps = self.defaults.steps if steps is None else steps
        return _process(self.schedule, self.time, grid or self.defaults.grid, steps)

    def to_json(self) -> str:
        """One line of JSON; `Spec.from_json` reads it back equal."""
        tree = dataclasses.asdict(self)
        for name, usual in (("time", "level"), ("reach", 0), ("fixes", ())):
            if tree[name] == usual:
                del tree[name]  # so that files of earlier models stay byte for byte what they were
        return json.dumps(tree, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Inverse of `to_json`. Raises ModelError for text that is no specification, or out of bounds."""
        try:
            tree = json.loads(text)
            tree["value_range"], tree["dtypes"] = tuple(tree["value_range"]), tuple(tree["dtypes"])
            tree["fixes"] = tuple(tree.get("fixes", ()))
            tree["prediction"] = current_name(tree["prediction"])
            spec = cls(**{**tree, "defaults": Defaults(**tree["defaults"])})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ModelError(
                f"the model's description cannot be read ({error}); was it written by a newer version?"
            ) from error
        check_spec(spec)
        path(spec.schedule, spec.time)
        return spec


@lru_cache(maxsize=64)
def _process(schedule: str, time: str, grid: str, steps: int) -> GaussianPath:
    """`Spec.process`. Kept: a restoration asks for it some five times, and to build it takes longer than to convert a small photograph."""
    trained = name_of(schedule)
    free = time == "level" and trained in RESIDUAL
    with torch.inference_mode(False):  # whoever trains may ask for it later
        if grid == "cubic" and free:
            if not 1 <= steps <= MOST_STEPS:
                raise InputError(f"steps must be between 1 and {MOST_STEPS} on the cubic grid, got {steps}")
            return residual(cubic(steps))
        if grid != trained:
            others = " and cubic" if free else " alone"
            raise InputError(f"unknown grid {grid!r}; this model has {trained}{others}")
        return path(schedule, time).respaced(steps)
