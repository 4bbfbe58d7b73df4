"""What the description of a model may say: every number is looked at before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unveil.diffusion.prediction import KINDS as PREDICTIONS
from unveil.diffusion.resolution import READINGS, SWITCHES
from unveil.diffusion.sampling import SOLVERS
from unveil.errors import ModelError

if TYPE_CHECKING:
    from unveil.models.spec import Spec

WIDEST = 65_536
"""The largest size that a layer may have; the words that CLIP knows are 49,408."""
MOST = {
    "blocks": 32,
    "up_blocks": 32,
    "bottom": 32,
    "middle": 32,
    "layers": 64,
    "encoder": 32,
    "decoder": 32,
    "mults": 64,
    "kinds": 64,
}
"""The largest number under these names: how often something is repeated, or multiplied."""
MAY_BE_NONE = ("blocks", "up_blocks", "bottom", "middle", "encoder", "decoder", "head", "mask_channels")
LEVELS = 8
"""The longest list of levels; each halves the resolution once more."""
LONGEST = 256
"""Characters of a name."""
CHOICES = {
    "sampler": ("diffusion", "one_shot", "guide"), "prediction": (*PREDICTIONS, "residual_and_noise"), "time": ("level", "index"),
    "defaults.solver": SOLVERS, "defaults.resolution": READINGS, "defaults.switch": SWITCHES,
}  # fmt: skip
RANGES = {
    "multiple_of": (1, 1024), "min_size": (1, 65_536), "receptive_field": (0, 1 << 20), "reach": (0, 1 << 20),
    "defaults.steps": (1, 10_000), "defaults.low": (1, 65_536), "defaults.fidelity": (0.0, 1.0),
}  # fmt: skip
DTYPES = ("fp32", "bf16", "fp16")


def check(spec: Spec) -> None:
    """Raise ModelError, naming the entry and what it may be, for a description that no model here has."""
    for name, choices in CHOICES.items():
        value = _entry(spec, name)
        if value not in choices:
            _refuse(name, value, f"one of {', '.join(choices)}")
    for name, (low, high) in RANGES.items():
        value: Any = _entry(spec, name)
        if not _is_number(value, isinstance(low, int)) or not low <= value <= high:
            _refuse(name, value, f"a {'whole ' if isinstance(low, int) else ''}number from {low} to {high}")
    for name in ("name", "schedule", "defaults.grid"):
        if not isinstance(_entry(spec, name), str) or len(_entry(spec, name)) > LONGEST:
            _refuse(name, _entry(spec, name), f"a text of at most {LONGEST} characters")
    pair = spec.value_range
    if len(pair) != 2 or not all(_is_number(v) and abs(v) <= 1e4 for v in pair) or not pair[0] < pair[1]:
        _refuse("value_range", pair, "two numbers, the smaller first")
    if not spec.dtypes or not set(spec.dtypes) <= set(DTYPES):
        _refuse("dtypes", spec.dtypes, f"some of {', '.join(DTYPES)}")
    network(spec.network)


def network(sizes: Any, place: str = "network") -> None:
    """Raise ModelError for sizes that no network here has."""
    if not isinstance(sizes, Mapping) or len(sizes) > 32:
        _refuse(place, sizes, "sizes by name")
    for name, value in sizes.items():
        here, most = f"{place}.{name}", MOST.get(str(name), WIDEST)
        if isinstance(value, Mapping):
            network(value, here)
            continue
        entries: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(entries) > (MOST["kinds"] if name == "kinds" else LEVELS):
            _refuse(here, value, f"a list of at most {LEVELS} entries")
        for entry in entries:
            if isinstance(entry, str) and len(entry) <= LONGEST:
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
