from __future__ import annotations

import pytest

from unveil.errors import InputError
from unveil.util.words import check_known, did_you_mean, duration, nearest


def test_a_near_name_is_proposed_and_else_all_are_named() -> None:
    known = {"haze": 1, "noise": 2}
    assert did_you_mean("hase", known) == "did you mean haze?"
    assert did_you_mean("x", known, otherwise="Known:") == "Known: haze, noise"
    assert did_you_mean(7, known) == "known are haze, noise"


def test_as_many_as_asked_for_the_nearest_first() -> None:
    known = ("ldrps", "dps", "ddrm")
    assert did_you_mean("dpps", known, most=2) == "did you mean dps or ldrps?"
    assert nearest("dpps", known) == ["dps"]
    assert nearest("dpps", known, most=3, cutoff=0.99) == []


def test_a_value_that_is_none_of_those_there_are_is_refused() -> None:
    check_known("task", "haze", {"haze": 1})
    with pytest.raises(InputError, match=r"^unknown task 'hase'; known are auto, haze$"):
        check_known("task", "hase", ("auto", "haze"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119.4, "119 s"), (120, "2 min"), (3599, "60 min"), (3600, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
