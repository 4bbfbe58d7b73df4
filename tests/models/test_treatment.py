from __future__ import annotations

from typing import Any

import pytest

from unveil.errors import InputError
from unveil.models.treatment import EVEN, GUESSED, NOTICED, kinds_of, repeated, treatment
from unveil.networks.condition import KINDS, LIGHT

SEEN = {"haze": 0.9, "noise": 0.6, "jpeg": 0.3, "clean": 0.1}


def fixed(told: object) -> dict[str, float]:
    return {k: p for k, p in told.probabilities.items() if p > 0}  # type: ignore[attr-defined]


def test_what_is_told_is_fixed_and_nothing_else() -> None:
    told = treatment(SEEN, "noise,jpeg")
    assert fixed(told) == {"noise": 1.0, "jpeg": 1.0}
    assert told.asked
    assert not told.light


def test_untold_the_describer_decides_and_what_it_doubts_stays() -> None:
    told = treatment(SEEN)
    # Odds of 9 and of 1.5, against those of the thresholds.
    odds = {k: r * (1 - NOTICED[k]) / NOTICED[k] for k, r in (("haze", 9.0), ("noise", 1.5))}
    assert fixed(told) == {k: pytest.approx(r / (1 + r), abs=1e-4) for k, r in odds.items()}
    assert told.light
    assert told.sentence() == f"found haze {SEEN['haze']:.0%}, noise {SEEN['noise']:.0%}"  # as `describe` says it


def test_keeping_takes_out_of_what_was_found() -> None:
    assert fixed(treatment(SEEN, keep="light")).keys() == {"noise"}
    assert fixed(treatment(SEEN, keep=["noise"])).keys() == {"haze"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_told_from_its_threshold_on_and_as_even_where_the_evidence_is(kind: str) -> None:
    threshold = NOTICED[kind]
    assert treatment({kind: threshold - 0.01}).nothing
    assert treatment({kind: EVEN[kind]}).probabilities[kind] == 0.5
    assert treatment({kind: threshold}).probabilities[kind] == pytest.approx(0.31 if kind == "blur" else 0.5, abs=0.01)
    assert treatment({kind: 1.0}).probabilities[kind] == GUESSED


def test_a_drawing_has_nothing_to_fix_unless_someone_says_so() -> None:
    assert treatment(SEEN | {"graphic": 0.8}).nothing
    assert fixed(treatment(SEEN | {"graphic": 0.8}, "jpeg")) == {"jpeg": 1.0}


def test_groups_and_order() -> None:
    assert kinds_of("light") == LIGHT
    assert kinds_of(["rain", "haze"]) == ("haze", "rain")
    assert kinds_of("all") == KINDS


def test_kinds_are_named_in_any_case() -> None:
    assert kinds_of("Noise, LIGHT") == kinds_of("noise,light")
    assert fixed(treatment(None, ["JPEG"], "Blur")) == {"jpeg": 1.0}
    assert fixed(repeated({"Noise": 0.7})) == {"noise": 0.7}


def test_a_text_is_no_probability() -> None:
    with pytest.raises(InputError, match="told must map kinds of damage to probabilities"):
        repeated({"noise": "1"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fix": "nois"}, "fix: 'nois' is no kind of damage; did you mean noise"),
        ({"keep": "sharpness"}, "keep: 'sharpness'.*known are haze"),
        ({"fix": "noise,haze", "keep": "light"}, "haze: asked to fix and to keep"),
    ],
)
def test_wrong_names_are_said(given: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        treatment({}, **given)


def test_a_protocol_is_repeated() -> None:
    first = treatment(SEEN)
    assert repeated(first.probabilities).probabilities == first.probabilities
    with pytest.raises(InputError, match="between 0 and 1"):
        repeated({"noise": 2})
    with pytest.raises(InputError, match="told must map"):
        repeated({"noise": "much"})


def test_to_fix_nothing_is_an_answer_too() -> None:
    assert treatment(SEEN, "").nothing
    assert treatment(SEEN, ()).nothing


def test_told_to_fix_nothing_nobody_looked() -> None:
    assert treatment(SEEN, ()).sentence() == "nothing is to be fixed; it is left as it is"
    assert treatment({"clean": 1.0}).sentence().startswith("nothing to fix was found")


def test_what_is_half_suspected_is_left_and_named() -> None:
    dark = treatment({"lowlight": NOTICED["lowlight"] - 0.01, "jpeg": 0.1})
    assert dark.nothing
    assert dark.perhaps == ("lowlight",)
    assert dark.sentence().endswith("it is left as it is (perhaps lowlight 14%: --fix lowlight)")
    both = treatment({"haze": NOTICED["haze"] - 0.01, "noise": 0.9})
    assert both.sentence() == "found noise 90%; perhaps haze 34%, left as it is: --fix noise,haze"
    assert treatment({"lowlight": 0.9}).perhaps == ()
    assert treatment({"lowlight": 0.002}).perhaps == ()
    assert treatment({"lowlight": 0.1}, keep="light").perhaps == ()
    found = {"noise": 0.9, "haze": 0.8}
    assert treatment(found, keep="all").sentence() == "found haze 80%, noise 90%, which stays as asked"
    assert treatment(found, keep="light").sentence() == "found noise 90%; haze 80% stays as asked"
    assert treatment({"lowlight": 0.1, "graphic": 0.9}).perhaps == ()


def test_what_a_model_does_not_fix_is_left_and_said() -> None:
    own = ("noise", "blur", "jpeg")
    assert kinds_of("all", fixable=own) == own
    with pytest.raises(InputError, match="does not fix light, only noise, blur, jpeg"):
        treatment(None, "light", fixable=own)
    with pytest.raises(InputError, match="told: this model does not fix haze"):
        repeated({"haze": 0.9}, own)
    assert repeated({"haze": 0.0, "noise": 1.0}, own).probabilities["noise"] == 1.0
    found = treatment({"haze": 0.9, "noise": 0.8, "lowlight": 0.1}, fixable=own)
    assert found.probabilities["haze"] == 0.0 < found.probabilities["noise"]
    assert found.perhaps == ()
    assert found.sentence() == "found noise 80%; haze 90% is not what this model fixes: -n general"
    alone = treatment({"haze": 0.9}, fixable=own)
    assert alone.nothing
    assert "(haze 90% is not what this model fixes: -n general)" in alone.sentence()
    assert "haze" not in treatment({"haze": 0.9}, keep="haze", fixable=own).sentence()


def test_a_group_is_what_is_left_of_it_and_named_kinds_are_not_kept() -> None:
    found = treatment(None, "all", "light")
    assert fixed(found) == dict.fromkeys((k for k in KINDS if k not in LIGHT), 1.0)
    for fix, keep in (("light", "haze,shadow,lowlight"), ("all,haze", "haze"), ("noise", "noise")):
        with pytest.raises(InputError, match="to fix and to keep at once"):
            treatment(None, fix, keep)


@pytest.mark.parametrize("names", [5, b"noise", ["noise", 3], None])
def test_what_is_no_name_is_said(names: Any) -> None:
    with pytest.raises(InputError, match="fix takes names of kinds of damage, such as 'noise,blur', got"):
        kinds_of(names)


def test_names_may_come_from_what_is_read_once() -> None:
    assert kinds_of(name for name in ("jpeg", "noise")) == ("noise", "jpeg")
    assert kinds_of(iter([])) == ()
