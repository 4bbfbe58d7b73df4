"""Whether the numbers among a method's options are ones that its mathematics has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from unveil.errors import InputError

ANY = (0.0, math.inf)
"""Nothing negative."""
SHARE = (0.0, 1.0)


def check_numbers(
    settings: Any, *, whole: Mapping[str, int] | None = None, real: Mapping[str, tuple[float, float]] | None = None
) -> None:
    """Raise InputError for an option, of a dataclass of them, that is no number or none of its range. One that may be left open (None) may
    be.

    whole: whole numbers among them by name, and the least of each. real: numbers, and the least and the largest of each; none may be
    infinite.
    """
    ranges: dict[str, tuple[float, float]] = {k: (least, math.inf) for k, least in (whole or {}).items()} | dict(
        real or {}
    )
    left_open = {f.name for f in fields(settings) if "None" in str(f.type)}
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if value is None and name in left_open:
            continue
        kind, words = (Integral, "whole number") if name in (whole or {}) else (Real, "number")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{name} must be a {words}, got {value!r}")
        number = float(value)
        if not least <= number <= most or math.isinf(number):
            bounds = f"between {least:g} and {most:g}" if most < math.inf else f"at least {least:g}"
            raise InputError(f"{name} must be {'finite' if number == math.inf == most else bounds}, got {value}")


def check_crop(crop: int) -> None:
    """Refuse a crop, a whole number, that the layers which halve it leave nothing of. Raises InputError."""
    if crop == 1:
        raise InputError("crop must be 0, for the whole image, or at least 2 pixels, got 1")
