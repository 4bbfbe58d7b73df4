from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from unveil.errors import ModelError
from unveil.jobs import second_look
from unveil.models import describer
from unveil.networks.condition import KINDS
from unveil.restorer import Restoration, Restorer
from unveil.testing import tiny_experts


@dataclass
class Speaker:
    """Says the first of a photograph before, the second of every other picture."""

    before: np.ndarray
    said: tuple[dict[str, float], dict[str, float]]

    def describe(self, pixels: np.ndarray) -> describer.Description:
        first = pixels.shape == self.before.shape and np.array_equal(pixels, self.before)
        nothing = dict.fromkeys(KINDS, 0.0)
        return describer.Description(nothing | self.said[0 if first else 1], "somebody", False)


@pytest.fixture(scope="module")
def restored() -> Restoration:
    pixels = np.random.default_rng(0).random((24, 20, 3)).astype(np.float32)
    return Restorer(tiny_experts(), "cpu").restore(pixels, fix="noise", steps=1)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"noise": 0.9}, {"noise": 0.1}, ""),
        ({"noise": 0.9}, {"noise": 0.1, "blur": 0.8}, "blur 0% before, 80% now"),
        ({"noise": 0.5}, {"noise": 0.9}, "noise 50% before, 90% now"),
        ({"blur": 0.35}, {"blur": 0.45}, ""),  # its word is not that exact
        ({"blur": 0.0}, {"blur": 0.39}, ""),  # below what is taken for damage
    ],
)
def test_what_came_out_worse_is_said(
    restored: Restoration, monkeypatch: pytest.MonkeyPatch, before: dict, after: dict, expected: str
) -> None:
    assert restored.source is not None
    monkeypatch.setattr(describer, "shipped", lambda: Speaker(restored.source.pixels, (before, after)))
    said = second_look.warning(restored)
    assert expected in said
    assert bool(said) == bool(expected)


def test_nothing_is_looked_at_where_nothing_was_fixed(restored: Restoration, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError

    monkeypatch.setattr(describer, "shipped", never)
    for told in ({}, None, dict.fromkeys(KINDS, 0.0)):
        nothing = Restoration(restored.samples, 0.0, 0.0, 0, {"told": told}, restored.source)
        assert second_look.warning(nothing) == ""


def test_without_a_describer_nothing_is_said(restored: Restoration, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModelError("no such entry")

    monkeypatch.setattr(describer, "shipped", missing)
    assert second_look.warning(restored) == ""
