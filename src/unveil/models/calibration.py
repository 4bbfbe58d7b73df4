"""Calibration of a model's draws: the factor by which their spread is multiplied, and the coverage that then holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unveil.errors import InputError, ModelError

TARGET = 0.9
DECIDES = ("sha256", "grid", "steps", "solver", "fidelity", "resolution", "strength", "self_ensemble")
"""Entries of a run's protocol that the spread of its draws depends on: a calibration holds for runs that agree in all of them."""


@dataclass(frozen=True)
class Calibration:
    """What is stored beside a model about its standard deviations.

    Args:
        factor: Multiply the draws' distance to their mean (and so their std) by it, and Gaussian 90 % intervals hold 90 % of the
            calibration values.
        pixel: Level -> half width, in (uncorrected) std, of the intervals that hold `level` of a new photograph's values in expectation
            (`evaluation.calibration.pixel_factor`). Levels that so few photographs could only bound by the largest score of all are absent.
        photograph: The same with probability `confidence` for each new photograph (`evaluation.calibration.photograph_factor`).
        confidence: Of `photograph`.
        draws: K, with which alone the widths hold (the factor is about a variance, whose unbiased estimate has the same mean for any K).
        photographs: How many were measured.
        values: Values used of each.
        rounding: Standard deviation of the target's own rounding, full range = 1.
        protocol: Model, sampler and photographs, as plain values.
        of: "draws", or "doubt" where it is about the model's own network for the error; then widths are in stretched std.
        light: With "doubt": the factor for the light of the whole.
        kinds: With "doubt": kind of damage -> a factor in place of `factor` for photographs with that kind.

    """

    factor: float
    pixel: dict[float, float]
    photograph: dict[float, float]
    confidence: float
    draws: int
    photographs: int
    values: int
    rounding: float
    protocol: dict[str, Any] = field(default_factory=dict)
    of: str = "draws"
    light: float = 1.0
    kinds: dict[str, float] = field(default_factory=dict)

    def fits(self, protocol: Mapping[str, Any]) -> bool:
        """Whether it was measured with these weights under these settings of the sampler (`DECIDES`).

        Strength 1 and no ensemble unless it says so.
        """
        own = {"strength": 1.0, "self_ensemble": 1, **self.protocol}
        return all(own.get(name) == protocol.get(name) for name in DECIDES)

    def std(self, std: np.ndarray, kinds: Sequence[str] = ()) -> np.ndarray:
        """The std, any shape, stretched: the standard deviation that the errors had on the calibration photographs, on average.

        kinds: of damage that were fixed; of several the largest factor holds. At most one half, which no values in [0, 1] can exceed.
        """
        factor = max((self.kinds.get(k, self.factor) for k in kinds), default=self.factor)
        return np.minimum(factor * std, 0.5).astype(std.dtype)

    def half_width(self, std: np.ndarray, level: float = TARGET) -> np.ndarray:
        """Half width of the conformal pixel interval for the draws' std, any shape, full range = 1.

        Raises InputError for a level that was not calibrated.
        """
        # In whatever precision it is given.
        known = next((x for x in self.pixel if math.isclose(x, level, rel_tol=1e-6)), None)
        if known is None:
            raise InputError(f"level {level} was not calibrated; known: {', '.join(map(str, self.pixel)) or 'none'}")
        return self.pixel[known] * np.hypot(std, self.rounding)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: levels become text."""
        tree = asdict(self)
        return {k: {f"{x:g}": y for x, y in v.items()} if k in ("pixel", "photograph") else v for k, v in tree.items()}

    def to_json(self) -> str:
        """`to_dict` as text; `from_json` reads it back equal. Raises InputError where a factor is infinite: JSON has none."""
        try:
            return json.dumps(self.to_dict(), indent=1, allow_nan=False)
        except ValueError as error:
            raise InputError(
                "a factor is infinite: draws without any spread beside errors cannot be calibrated by stretching"
            ) from error

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Calibration:
        """Inverse of `to_dict`. Raises InputError for anything else."""
        try:
            levels = {k: {float(x): float(y) for x, y in tree[k].items()} for k in ("pixel", "photograph")}
            return cls(**{**tree, **levels})
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"this is no calibration: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Inverse of `to_json`. Raises InputError for anything else."""
        try:
            tree = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"this is no calibration: {error}") from error
        if not isinstance(tree, dict):
            raise InputError("this is no calibration: expected a JSON object")
        return cls.from_dict(tree)


def read(path: Path) -> tuple[Calibration, ...]:
    """The calibrations in a JSON file: one, or a list of them. Raises ModelError for a file that holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Calibration.from_dict(tree) for tree in (found if isinstance(found, list) else [found]))
    except (OSError, ValueError, InputError) as error:
        raise ModelError(
            f"{path}: {error}; it is written by `python -m benchmarks calibration`, and may be left out"
        ) from error


def fitting(calibrations: Sequence[Calibration], protocol: Mapping[str, Any], of: str = "draws") -> Calibration | None:
    """The calibration of the draws, or of the estimated error, that was measured under a run's protocol (`DECIDES`), or None."""
    return next((c for c in calibrations if c.of == of and c.fits(protocol)), None)
