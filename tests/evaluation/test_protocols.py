from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.errors import InputError
from unveil.evaluation.protocols import _CHOICES, PROTOCOLS, Protocol, get_protocol

# The names that the papers' tables are asked for by.
ASKED = [
    "istd256",
    "istd-native",
    "ohaze512",
    "hazydet512",
    "revide512",
    "lol-native",
    "lol256",
    "tao256",
    "hsts",
    "kodak24",
    "cbsd68",
    "div2k-wild",
    "realsr-x2",
    "faceshadow512",
]


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_json_round_trip_and_name(name: str) -> None:
    protocol = PROTOCOLS[name]
    again = Protocol.from_json(protocol.to_json())
    assert again == protocol
    assert hash(again) == hash(protocol)
    assert again.to_dict() == protocol.to_dict()
    assert (again.name, again.source, again.unstated) == (name, protocol.source, protocol.unstated)


def test_every_protocol_that_was_asked_for_exists_and_no_two_are_equal() -> None:
    assert set(ASKED) <= set(PROTOCOLS)
    assert len(set(PROTOCOLS.values())) == len(PROTOCOLS)


@settings(max_examples=30)
@given(
    st.fixed_dictionaries(
        {
            **{name: st.sampled_from(choices) for name, choices in _CHOICES.items() if name != "resize"},
            "border": st.integers(0, 20),
            "draws": st.integers(1, 64),
            "fidelity": st.none() | st.floats(0, 1),
            "data_range": st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)]),
            "dataset": st.text(max_size=5),
        }
    )
)
def test_any_protocol_goes_through_json(fields: dict) -> None:
    protocol = Protocol(**fields)
    assert Protocol.from_json(protocol.to_json()) == protocol


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "other"},
        {"degradation": "other"},
        {"size": (128, 128)},
        {"resize": "pil_bicubic"},
        {"rounding": "8bit"},
        {"border": 4},
        {"space": "y_bt601_full"},
        {"ssim_window": "uniform7"},
        {"lab_white": "D65"},
        {"region": "shadow"},
        {"draws": 8},
        {"fidelity": 1.0},
    ],
)
def test_every_condition_counts_and_is_named_and_described(change: dict) -> None:
    base = PROTOCOLS["istd256"]
    other = base.changed(**change)
    assert other != base
    assert set(base.differences(other)) == set(change)
    assert next(iter(change)) in other.name
    assert other.describe().split(": ", 1)[1] != base.describe().split(": ", 1)[1]


def test_what_it_is_called_and_where_it_comes_from_do_not_count() -> None:
    base = PROTOCOLS["lol256"]
    renamed = base.changed(name="mine", source="here", unstated=("nothing",))
    assert renamed == base
    assert renamed.name == "mine"
    assert base.differences(renamed) == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"space": "yuv"}, "space 'yuv'; known: rgb"),
        ({"resize": "nearest", "size": (2, 2)}, "resize 'nearest'"),
        ({"resize": "pil_bicubic"}, "does not go with size None"),
        ({"size": (256, 256)}, "does not go with size"),
        ({"resize": "pil_bicubic", "size": (256,)}, "must be"),
        ({"border": -1}, "border -1"),
        ({"draws": 0}, "draws 0"),
    ],
)
def test_settings_that_do_not_exist_or_fit_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Protocol(**settings)


@pytest.mark.parametrize("text", ["", "[]", '{"colour": "rgb"}', '{"space": "yuv"}'])
def test_json_that_is_no_protocol_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="protocol"):
        Protocol.from_json(text)


def test_a_protocol_is_found_by_name_or_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"border": 3, "name": "mine"}))
    assert get_protocol(str(path)) == Protocol(border=3)
    assert get_protocol("kodak24") is PROTOCOLS["kodak24"]
    with pytest.raises(InputError, match=r"unknown protocol 'kodak'; known: native, istd256"):
        get_protocol("kodak")
    with pytest.raises(InputError, match="cannot be read"):
        get_protocol(str(tmp_path / "absent.json"))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ('"size": 256, "resize": "matlab_bicubic"', "size is two whole numbers, not 256"),
        ('"border": "4"', 'border is a whole number, not "4"'),
        ('"draws": 1.5', "draws is a whole number, not 1.5"),
        ('"data_range": [0, 255, 3]', r"data_range is two numbers, not \[0, 255, 3\]"),
        ('"fidelity": true', "fidelity is a number, not true"),
        ('"border": null', "border is a whole number, not null"),
        ('"name": 5, "dataset": 7', "name is a text, not 5"),
        ('"dataset": 7', "dataset is a text, not 7"),
        ('"region": 7', "region 7; known: all, shadow"),
        ('"unstated": "border"', 'unstated is a list of texts, not "border"'),
        ('"unstated": [1]', r"unstated is a list of texts, not \[1\]"),
    ],
)
def test_a_value_of_another_kind_is_named(field: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Protocol.from_json("{" + field + "}")
