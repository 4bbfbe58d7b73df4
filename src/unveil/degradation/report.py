"""What was done to a picture, in plain values for a file beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unveil.degradation import blur, noise, wild

_FEW = 8
_TYPES = {"blur": blur.TYPES, "noise": noise.TYPES}


def report(kind: str, drawn: dict[str, Tensor], index: int = 0) -> dict[str, Any]:
    """The parameters that simulator `kind` drew for sample `index`, as JSON holds them.

    Numbers and short lists as they are; a whole map or kernel by its shape, least, mean and greatest value (the seed
    gives it back); types by name; for "wild" the `events` in order and the `labels` that describe them.
    """
    if kind == "wild":
        return {
            "severity": _plain(drawn["severity"][index]),
            "labels": list(wild.labels(drawn["words"][index : index + 1])[0]),
            "events": wild.events(drawn["steps"][index : index + 1])[0],
        }
    told = {name: _plain(value[index]) for name, value in drawn.items()}
    if kind in _TYPES:
        told["type"] = _TYPES[kind][told["type"]]
    return told


def _plain(value: Tensor) -> Any:
    if value.numel() == 1:
        return value.item() if not value.is_floating_point() else _short(float(value))
    if value.numel() <= _FEW:
        return [_plain(v) for v in value.flatten()]
    values = value.to(torch.float64)
    shape = [n for n in value.shape if n != 1]
    return {
        "shape": shape,
        "min": _short(float(values.min())),
        "mean": _short(float(values.mean())),
        "max": _short(float(values.max())),
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
