"""What numbers the options of the methods for known operators may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.zeroshot.methods import find


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("ddrm", {"eta": 2.0}, "eta must be between 0 and 1, got 2.0"),
        ("ddrm", {"eta_b": -0.1}, "eta_b must be between 0 and 1, got -0.1"),
        ("ddrm", {"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ("ddrm", {"steps": True}, "steps must be a whole number, got True"),
        ("diffpir", {"noise": "0.1"}, "noise must be a number, got '0.1'"),
        ("diffpir", {"zeta": 1.5}, "zeta must be between 0 and 1"),
        ("diffpir", {"weight": float("inf")}, "weight must be finite, got inf"),
        ("diffpir", {"weight": None}, "weight must be a number, got None"),
        ("pigdm", {"variance": -1.0}, "variance must be at least 0, got -1.0"),
        ("dps", {"zeta": float("nan")}, "zeta must be at least 0, got nan"),
        ("gdp", {"weight": 3.0}, "weight must be between 0 and 1, got 3.0"),
    ],
)
def test_a_number_that_cannot_be_is_named(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find(method).configured(options)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("ddrm", {"eta": 0, "eta_b": 1, "steps": np.int64(4)}),
        ("diffpir", {"noise": None, "weight": 0.0, "zeta": np.float32(0.5)}),
        ("dps", {"zeta": None}),
        ("gdp", {"weight": 1}),
    ],
)
def test_the_ends_of_a_range_and_numbers_of_numpy_are_taken(method: str, options: dict[str, Any]) -> None:
    settings = find(method).configured(options)
    assert {name: getattr(settings, name) for name in options} == options
