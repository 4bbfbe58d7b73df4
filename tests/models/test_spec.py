from __future__ import annotations

import pytest

from unveil.errors import InputError, ModelError, UnveilWarning
from unveil.models.path_config import path
from unveil.models.spec import MOST_STEPS, Defaults, Spec
from unveil.networks.condition import KINDS


def test_json_round_trip_is_equal() -> None:
    spec = Spec(
        "x",
        {"kind": "compact", "base": 8, "mults": [1, 2], "blocks": 1, "head": 4},
        defaults=Defaults(steps=3, fidelity=0.5),
    )
    assert Spec.from_json(spec.to_json()) == spec


def test_kinds_that_are_fixed_are_kept_and_others_are_not_to_be_had() -> None:
    network = {"kind": "compact", "base": 8, "mults": [1, 2], "blocks": 1, "conditioned": True}
    spec = Spec("x", network, fixes=("noise", "jpeg"))
    assert spec.conditioned
    assert spec.fixable == ("noise", "jpeg")
    assert Spec.from_json(spec.to_json()) == spec
    assert Spec("x", network).fixable == KINDS
    assert "fixes" not in Spec("x", network).to_json()
    assert Spec("x", {**network, "conditioned": False}).fixable == ()
    with pytest.raises(ModelError, match="fixes"):
        Spec.from_json(Spec("x", network, fixes=("nose",)).to_json())


def test_a_measured_reach_is_kept_and_an_unmeasured_one_is_not_written() -> None:
    spec = Spec("x", {}, receptive_field=248, reach=144)
    assert Spec.from_json(spec.to_json()) == spec
    assert "reach" not in Spec("x", {}).to_json()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"name": "x", "surprise": 1}'])
def test_text_that_is_no_description_is_a_model_error(text: str) -> None:
    with pytest.raises(ModelError, match="description"):
        Spec.from_json(text)


@pytest.mark.parametrize("name", ["linear_pro", "linear_pro(x)", "sigmoid(5)", "cubic(5) "])
def test_unknown_schedule(name: str) -> None:
    with pytest.raises(ModelError, match="linear_pro"):
        path(name)


def test_steps_are_bounded_by_the_grid() -> None:
    spec = Spec("x", {})
    assert spec.process().steps == 5
    assert spec.process(steps=2).steps == 2
    assert spec.process("cubic", 8).steps == 8
    for grid, steps in (("linear_pro", 0), ("linear_pro", 6), ("cubic", 0), ("cubic", MOST_STEPS + 1)):
        with pytest.raises(InputError, match=f"got {steps}"):
            spec.process(grid, steps)
    with pytest.raises(InputError, match="grid"):
        spec.process("square", 5)


def test_both_grids_start_where_the_clean_image_has_no_weight() -> None:
    for grid in ("linear_pro", "cubic"):
        process = Spec("x", {}).process(grid, 5)
        assert abs(float(process.alpha[-1])) < 1e-12


def test_min_size_is_deprecated_and_files_that_have_it_load() -> None:
    """docs/api.md's rule: a warning that names the release in which it goes, and nothing else changes."""
    with pytest.warns(UnveilWarning, match=r"min_size is ignored.*goes in 0\.2"):
        spec = Spec("x", {}, min_size=64)
    with pytest.warns(UnveilWarning, match="min_size"):
        assert Spec.from_json(spec.to_json()) == spec
    assert Spec.from_json(Spec("x", {}).to_json()).min_size == 1, "and nobody is warned of what every file says"


@pytest.mark.parametrize(
    ("old", "now"), [("x0", "sample"), ("noise", "epsilon"), ("v", "v_prediction"), ("flow", "flow_prediction")]
)
def test_predictions_by_their_names_of_before(old: str, now: str) -> None:
    """Files say them quietly, callers are warned."""
    with pytest.warns(UnveilWarning, match=rf"{old} is called {now}.*0\.2"):
        assert Spec("x", {}, prediction=old).prediction == now
    text = Spec("x", {}, prediction=now).to_json()
    assert Spec.from_json(text.replace(f'"{now}"', f'"{old}"')).to_json() == text


def test_properties_by_their_names_of_before() -> None:
    spec = Spec("x", {"kind": "experts"})
    with pytest.warns(UnveilWarning, match=r"told is called conditioned.*0\.2"):
        assert spec.told is spec.conditioned is True
    with pytest.warns(UnveilWarning, match="level_told is called residual_at_level"):
        assert spec.level_told is spec.residual_at_level is True
