from __future__ import annotations

import pytest

from unveil.errors import InputError
from unveil.util.words import check_known, did_you_mean, duration, nearest, pixels, shown


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


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (100, "100 pixels"),
        (12288, "12,288 pixels"),
        (10**6, "1 million pixels"),
        (50_000_001, "50.000001 million pixels"),
    ],
)
def test_pixels_in_words(count: int, words: str) -> None:
    assert pixels(count) == words


def test_what_a_terminal_would_obey_is_shown_and_letters_stay() -> None:
    assert shown("a\n\x1b[31m\x9b\u2028.png") == "a\\n\\x1b[31m\\x9b\\u2028.png"
    assert shown("Bär\u3000 熊 👨‍👩‍👧.png") == "Bär\u3000 熊 👨‍👩‍👧.png"
