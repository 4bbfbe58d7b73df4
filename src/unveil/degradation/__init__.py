"""Physically based, batched, seeded simulators of photographic damage.

Each is a plain function `(x, generator, severity=None) -> (y, parameters)` on batches (B, 3, H, W) float32 in [0, 1];
KINDS names them, `apply` calls one by name, `mixture` damages a training batch. Given x, the output depends on the
generator's state only.
"""

from __future__ import annotations

from unveil.degradation.lowlight import exposed
from unveil.degradation.primitives import quantise
from unveil.degradation.registry import KINDS, LIGHT, ORDER, Simulator, apply, contact_sheet, mixture, report, spelled

__all__ = [
    "KINDS",
    "LIGHT",
    "ORDER",
    "Simulator",
    "apply",
    "contact_sheet",
    "exposed",
    "mixture",
    "quantise",
    "report",
    "spelled",
]
