"""What is offered to restore with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from unveil.errors import InputError, ModelError
from unveil.models import shelf
from unveil.options import Options
from unveil.restorer import Restorer
from unveil.testing import tiny_model
from unveil.web.engines import Engine, Restorers, engines
from unveil.zeroshot.methods import METHODS


@pytest.mark.parametrize("name", ["nobody", "../x", "/etc/passwd", "", "describe"])
def test_only_what_is_offered_can_be_named(name: str) -> None:
    with pytest.raises(ModelError, match="is offered here"):
        Restorers(engines()).get(name, "cpu")


def test_the_shelf_comes_first_and_own_models_have_their_names(tmp_path: Path) -> None:
    offered = engines({"mine": tmp_path / "x.safetensors"})
    assert list(offered)[: len(shelf.names())] == shelf.names()
    assert offered["general"].summary == shelf.manifest()["general"]["summary"]
    with pytest.raises(ModelError):
        offered["mine"].load("cpu")


def test_zero_shot_methods_are_offered_where_their_prior_ships_and_nothing_need_be_told() -> None:
    offered = engines()
    for name, method in METHODS.items():
        blind = "operator" not in method.takes()
        assert (name in offered) == (blind and method.prior in shelf.priors())
        if name in offered:
            assert offered[name].method == method.title


@pytest.mark.parametrize("name", ["gdp", "tao", "ldrps", "upzeroir"])
def test_presets_of_a_method_are_those_of_the_command(name: str) -> None:
    """There is one table of them; what is opened under a name runs with its settings, and is kept apart from the rest."""
    offered = engines()
    if name not in offered:
        assert "operator" in METHODS[name].takes()
        return
    assert tuple(offered[name].presets) == METHODS[name].presets == ("paper", "quick")
    kept = Restorers({name: offered[name]})
    published = METHODS[name].published
    assert published is not None
    of_paper, own = kept.get(name, "cpu", "paper"), kept.get(name, "cpu")
    assert dataclasses.asdict(of_paper.resolve(Options())).items() >= published.items()
    assert own.resolve(Options()).steps == METHODS[name].quick["steps"]
    assert kept.get(name, "cpu", "paper") is of_paper


def test_a_preset_that_is_not_there_is_refused_by_name() -> None:
    offered = Restorers(engines())
    with pytest.raises(InputError, match="general has no preset 'paper'; presets are of zero-shot methods"):
        offered.get("general", "cpu", "paper")
    with pytest.raises(InputError, match="tao has no preset 'fast'; it has paper, quick"):
        offered.get("tao", "cpu", "fast")


def test_a_model_that_no_longer_ships_is_the_one_that_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "FORMER", {"gone": "tiny"})
    tiny = Engine("tiny", "LearnIR", "A small model.", lambda device: Restorer(tiny_model(), "cpu"))
    restorers = Restorers({"tiny": tiny})
    assert restorers.get("gone", "cpu") is restorers.get("tiny", "cpu")
