"""A calibration is kept beside the weights, and used by runs under the settings it was measured at, by no others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from unveil.errors import InputError, ModelError
from unveil.models import shelf, weights_file
from unveil.models.calibration import DECIDES, Calibration, fitting
from unveil.restorer import Restorer
from unveil.testing import tiny_model

SETTINGS = {"fidelity": 0.0, "samples": 4, "steps": 3}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).random((24, 32, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def known(picture: np.ndarray) -> Calibration:
    protocol = Restorer(tiny_model(), "cpu").restore(picture, **SETTINGS).protocol
    return Calibration(
        2.5, {0.5: 1.0, 0.9: 3.0}, {0.9: 6.0}, 0.9, 4, 20, 100, 0.5 / 255, {k: protocol[k] for k in DECIDES}
    )


def restorer(*calibrations: Calibration) -> Restorer:
    return Restorer(dataclasses.replace(tiny_model(), calibrations=calibrations), "cpu")


def test_the_spread_is_stretched_and_the_draws_are_left_alone(picture: np.ndarray, known: Calibration) -> None:
    out, plain = (made.restore(picture, **SETTINGS) for made in (restorer(known), restorer()))
    assert np.array_equal(out.samples, plain.samples)
    assert out.std is not None
    assert out.uncertainty == pytest.approx(2.5 * out.std, rel=1e-6)
    assert plain.uncertainty == pytest.approx(out.std)


def test_intervals_are_the_conformal_ones(picture: np.ndarray, known: Calibration) -> None:
    out = restorer(known).restore(picture, **SETTINGS)
    assert out.std is not None
    low, high = out.interval(0.9)
    half = 3.0 * np.hypot(out.std, 0.5 / 255)
    assert low == pytest.approx(np.clip(out.mean - half, 0, 1), abs=1e-6)
    assert high == pytest.approx(np.clip(out.mean + half, 0, 1), abs=1e-6)
    for level in (np.float32(0.9), np.float64(0.9)):
        assert np.array_equal(out.interval(level), (low, high))
    narrow = out.interval(0.5)
    assert (narrow[0] >= low).all()
    assert (narrow[1] <= high).all()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": 5}, "intervals hold for 4 draws, got 5; restore with samples=4"),
        ({"samples": 1}, "intervals hold for 4 draws, got 1"),
        ({"fidelity": 0.5}, "no interval was calibrated for this model under these settings"),
        ({"steps": 2}, "no interval was calibrated"),
        ({"strength": 0.5}, "no interval was calibrated"),
        ({"solver": "2m"}, "no interval was calibrated"),
        ({"resolution": "off"}, "no interval was calibrated"),
    ],
)
def test_nothing_is_promised_for_other_settings(
    picture: np.ndarray, known: Calibration, changed: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        restorer(known).restore(picture, **SETTINGS | changed).interval()


def test_a_level_that_was_not_calibrated_is_refused(picture: np.ndarray, known: Calibration) -> None:
    with pytest.raises(InputError, match=r"level 0\.95 was not calibrated; known: 0\.5, 0\.9"):
        restorer(known).restore(picture, **SETTINGS).interval(0.95)


def test_other_weights_have_no_calibration(known: Calibration) -> None:
    protocol = dict(known.protocol)
    assert fitting([known], protocol) is known
    assert fitting([known], protocol | {"sha256": "f" * 64}) is None
    assert fitting([], protocol) is None


def test_it_is_read_from_beside_the_weights_of_a_run(tmp_path: Path, known: Calibration) -> None:
    model = tiny_model()
    weights_file.write(tmp_path / "model.safetensors", model.spec, model.predictor, model.head)
    assert shelf.load(tmp_path).calibrations == ()
    beside = tmp_path / shelf.CALIBRATION
    beside.write_text(known.to_json())
    assert shelf.load(tmp_path).calibrations == (known,)
    beside.write_text(json.dumps([known.to_dict(), known.to_dict()]))
    assert shelf.load(tmp_path / "model.safetensors").calibrations == (known, known)
    beside.write_text("[3")
    with pytest.raises(ModelError, match=r"calibration\.json.*may be left out"):
        shelf.load(tmp_path)


def test_every_calibration_on_the_shelf_is_of_the_weights_that_ship() -> None:
    for name, entry in shelf.manifest().items():
        for tree in entry.get("calibration", ()):
            found = Calibration.from_dict(tree)
            assert found.protocol["sha256"] == entry["sha256"], f"{name}: run python -m benchmarks calibration again"
            assert all(key in found.protocol for key in DECIDES if key not in ("strength", "self_ensemble"))
            assert found.factor > 0


def test_a_stretched_deviation_stays_within_what_values_can_have(known: Calibration) -> None:
    """Values in [0, 1] deviate by at most one half."""
    stretched = dataclasses.replace(known, factor=25.0).std(np.array([0.001, 0.1, 0.4], np.float32))
    assert stretched.tolist() == pytest.approx([0.025, 0.5, 0.5])
