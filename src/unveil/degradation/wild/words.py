"""What was done to a picture, as DA-CLIP's words for degradations and as a list of events to be read or kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unveil.degradation.wild.resize import INTERPOLATIONS
from unveil.degradation.wild.settings import COLUMN, COLUMNS, FAMILIES, NOTHING, OPERATIONS

WORDS = ("blur", "ringing artifact", "jpeg block", "noise")
"""The words of the published captions. A change of size counts as blur; noise is said also where none came of it."""

_NAMED = {"family": FAMILIES, "interpolation": INTERPOLATIONS}
_WHOLE = ("size", "direction", "quality", "seed")
_FLAGS = ("wiener", "gaussian_grey", "poisson_grey")


def words(steps: Tensor) -> Tensor:
    """(B, 4) long, how often each of WORDS was done, from a plan (B, n, COLUMNS)."""
    code = {name: steps[:, :, COLUMN["operation"]] == i for i, name in enumerate(OPERATIONS)}
    rings = (steps[:, :, COLUMN["family"]] == FAMILIES.index("sinc")) | (steps[:, :, COLUMN["wiener"]] > 0)
    counted = (code["blur"] | code["resize"], code["blur"] & rings, code["jpeg"], code["noise"])
    return torch.stack([c.sum(1) for c in counted], 1)


def labels(counts: Tensor) -> list[tuple[str, ...]]:
    """For each picture of `counts` (B, 4) the words that apply, () for a picture that nothing was done to."""
    return [tuple(word for word, n in zip(WORDS, row, strict=True) if n) for row in counts.tolist()]


def events(steps: Tensor) -> list[list[dict[str, Any]]]:
    """For each picture what was done, in order: `operation` and the parameters that it has, as plain values."""
    return [[_event(row) for row in picture if row[0] >= 0] for picture in steps.tolist()]


def _event(row: list[float]) -> dict[str, Any]:
    event: dict[str, Any] = {"operation": OPERATIONS[int(row[0])]}
    for name, value in zip(COLUMNS[1:], row[1:], strict=True):
        if value == NOTHING:
            continue
        if name in _NAMED:
            event[name] = _NAMED[name][int(value)]
        elif name in _FLAGS:
            event[name] = bool(value)
        else:
            event[name] = int(value) if name in _WHOLE else value
    return event
