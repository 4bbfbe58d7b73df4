from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unveil.errors import InputError
from unveil.jobs.auto_select import DEFAULT, RULES, SURE, Auto, choose
from unveil.models import shelf
from unveil.models.describer import Description
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_model


def said(**probabilities: float) -> Description:
    ranked = dict(sorted(probabilities.items(), key=lambda pair: -pair[1]))
    return Description(ranked, "somebody", exclusive=False)


class Speaker:
    """Says the same of every photograph."""

    def __init__(self, **probabilities: float) -> None:
        self.said = said(**probabilities)

    def describe(self, pixels: np.ndarray) -> Description:
        return self.said


def test_every_rule_names_a_model_on_the_shelf() -> None:
    assert {rule.model for rule in (*RULES, DEFAULT)} <= set(shelf.names())


@pytest.mark.parametrize("rule", RULES, ids=lambda r: "+".join(sorted(r.kinds)))
def test_each_kind_leads_to_the_model_of_its_rule(rule: Any) -> None:
    for kind in rule.kinds:
        choice = choose(said(**{kind: 0.9, "clean": 0.1}))
        assert choice.model == rule.model
        assert f"{kind} 90%" in choice.reason
        assert choice.reason.startswith("somebody finds")
        assert rule.why in choice.reason


def test_light_and_weather_come_first_and_unsure_words_do_not_count() -> None:
    assert choose(said(jpeg=0.95, haze=SURE)).model == RULES[0].model
    assert choose(said(jpeg=0.95, haze=SURE - 0.01)).model == next(r.model for r in RULES if "jpeg" in r.kinds)
    nothing = choose(said(clean=0.9, noise=0.2))
    assert nothing.model == DEFAULT.model
    assert nothing.found == {}
    assert "no damage that it is sure of" in nothing.reason


def test_each_model_is_loaded_once_and_the_choice_is_said() -> None:
    loaded: list[str] = []

    def load(name: str) -> Restorer:
        loaded.append(name)
        return Restorer(tiny_model(), "cpu")

    photograph = np.random.default_rng(0).random((20, 24, 3), dtype=np.float32)
    auto = Auto(load, Speaker(haze=0.8))  # type: ignore[arg-type]
    first, second = (auto.restore(photograph, Options(seed=1)) for _ in range(2))
    assert loaded == [RULES[0].model]
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.image, Restorer(tiny_model(), "cpu").restore(photograph, seed=1).image)
    assert first.notes[0].startswith("somebody finds haze 80%")
    assert first.protocol["chosen"] == {"model": RULES[0].model, "found": {"haze": 0.8}}
    with pytest.raises(InputError, match="solver"):
        auto.resolve(Options(solver="euler"))
