"""The configuration of a run: its types, and reading, checking and writing it."""

from __future__ import annotations

from unveil.training.parsing import dump, find, load, parse, presets, same_run, stored
from unveil.training.settings import (
    Config,
    Correction,
    Data,
    Network,
    Pairs,
    Sizes,
    Stage,
    Validation,
    schedule,
    total_steps,
)

__all__ = [
    "Config",
    "Correction",
    "Data",
    "Network",
    "Pairs",
    "Sizes",
    "Stage",
    "Validation",
    "dump",
    "find",
    "load",
    "parse",
    "presets",
    "same_run",
    "schedule",
    "stored",
    "total_steps",
]
