"""What is offered to restore with."""

from __future__ import annotations

from pathlib import Path

import pytest

from unveil.errors import ModelError
from unveil.models import priors, shelf
from unveil.web.engines import Restorers, engines
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
        assert (name in offered) == (blind and method.prior in priors.manifest())
        if name in offered:
            assert offered[name].method == method.title
