"""The numbers of docs/wild.md belong to the weights that ship."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unveil.models import second_look, shelf

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def result(name: str) -> dict:  # type: ignore[type-arg]
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_sampler_was_measured_with_the_weights_that_ship() -> None:
    measured = result("wild_model")
    entry = shelf.entries()["wild"]
    assert measured["protocol"]["sha256"]["wild"] == entry["sha256"]
    assert not measured["protocol"]["quick"]
    for name in ("wild Kodak24", "CBSD68, sigma 50"):
        values = measured["sets"][name]["wild, as shipped"]["psnr"]
        assert entry["psnr"][name]["one draw"] == pytest.approx(sum(values) / len(values), abs=0.006)
        assert {f"few: posterior, {n} steps" for n in (100, 50, 20, 10, 5)} <= set(measured["sets"][name])


def test_the_classifier_was_measured_as_it_ships() -> None:
    assert result("fit_classifier")["protocol"]["sha256"] == shelf.entries()["describe"]["sha256"]


def test_the_law_of_the_second_look_is_the_one_that_was_fitted() -> None:
    for name, value in result("fit_second_look")["law"].items():
        assert np.allclose(getattr(second_look, name), value, atol=0)


def test_the_model_is_small_and_runs_as_the_page_says() -> None:
    entry = shelf.entries()["wild"]
    assert entry["bytes"] < 16_000_000
    model = shelf.load("wild")
    defaults = model.spec.defaults
    assert (model.spec.schedule, defaults.grid, defaults.steps, defaults.solver, defaults.fidelity) == (
        "mean_reverting(cosine, 100, 0.005, 100)", "mean_reverting", 3, "ancestral", 1,
    )  # fmt: skip
