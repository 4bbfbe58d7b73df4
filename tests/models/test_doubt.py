"""A model that says how far it is off: in its file, in a restoration, and calibrated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from unveil.errors import InputError, ModelError
from unveil.models import weights_file
from unveil.models.calibration import DECIDES, Calibration
from unveil.models.spec import Spec
from unveil.restorer import Restorer
from unveil.testing import tiny_experts

PHOTO = np.random.default_rng(0).uniform(0.1, 0.9, (40, 48, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(tiny_experts(doubt=True), "cpu", "fp32")


def test_it_changes_no_pixel_and_needs_no_draws(restorer: Restorer) -> None:
    plain = restorer.restore(PHOTO, fix="noise")
    out = restorer.restore(PHOTO, fix="noise", uncertainty=True)
    assert np.array_equal(out.image, plain.image)
    assert plain.uncertainty is None
    assert plain.light_uncertainty is None
    assert out.uncertainty is not None
    assert out.uncertainty.shape == PHOTO.shape
    assert float(out.uncertainty.min()) > 0
    assert out.light_uncertainty is not None
    assert "uncertainty" not in out.protocol


def test_a_photograph_left_alone_is_not_in_doubt(restorer: Restorer) -> None:
    out = restorer.restore(PHOTO, told={}, uncertainty=True)
    assert np.array_equal(out.image, PHOTO)
    assert out.uncertainty is not None
    assert not out.uncertainty.any()
    assert out.light_uncertainty == 0


def test_strength_nothing_is_not_in_doubt(restorer: Restorer) -> None:
    out = restorer.restore(PHOTO, strength=0.0, uncertainty=True)
    assert out.uncertainty is not None
    assert not out.uncertainty.any()


def test_bars_are_not_in_doubt(restorer: Restorer) -> None:
    barred = np.zeros((72, 48, 3), np.float32)
    barred[16:56] = PHOTO
    out = restorer.restore(barred, fix="noise", uncertainty=True)
    assert out.uncertainty is not None
    assert not out.uncertainty[:16].any()
    assert out.uncertainty[16:56].all()


def test_a_model_without_it_says_what_to_take_instead() -> None:
    with pytest.raises(InputError, match="samples=8"):
        Restorer(tiny_experts(), "cpu").restore(PHOTO, fix="noise", uncertainty=True)


def test_it_travels_in_the_file(restorer: Restorer, tmp_path: Path) -> None:
    model = restorer.model
    weights_file.write(tmp_path / "m.safetensors", model.spec, model.predictor, model.head, doubt=model.doubt)
    back = Restorer(weights_file.read(tmp_path / "m.safetensors"), "cpu", "fp32")
    ours, theirs = (r.restore(PHOTO, fix="noise", uncertainty=True).uncertainty for r in (restorer, back))
    assert ours is not None
    assert theirs == pytest.approx(ours, rel=0.02)  # kept in half precision


def test_a_description_that_does_not_fit_is_refused(restorer: Restorer, tmp_path: Path) -> None:
    spec = Spec.from_json(restorer.model.spec.to_json())
    spec.network["doubt"] = {"breadth": 8}
    weights_file.write(tmp_path / "m.safetensors", spec, restorer.model.predictor, None, doubt=restorer.model.doubt)
    with pytest.raises(ModelError, match="doubt"):
        weights_file.read(tmp_path / "m.safetensors")


def test_calibrated_by_the_kind_that_was_fixed(restorer: Restorer) -> None:
    protocol = restorer.restore(
        PHOTO, fix="haze"
    ).protocol  # in the model's own steps; where light stays fewer are taken
    known = Calibration(
        2.0, {0.9: 1.5}, {}, 0.9, 1, 20, 100, 0.5 / 255, {k: protocol[k] for k in DECIDES},
        of="doubt", light=3.0, kinds={"noise": 1.25, "haze": 1.5},
    )  # fmt: skip
    assert Calibration.from_json(known.to_json()) == known
    measured = Restorer(dataclasses.replace(restorer.model, calibrations=(known,)), "cpu", "fp32")
    for fix, factor in (("noise", 1.25), ("noise,haze", 1.5), ("blur", 2.0)):
        out, raw = (r.restore(PHOTO, fix=fix, uncertainty=True) for r in (measured, restorer))
        assert out.uncertainty is not None
        assert raw.uncertainty is not None
        assert out.uncertainty == pytest.approx(np.minimum(factor * raw.uncertainty, 0.5), rel=1e-5)
        assert out.light_uncertainty == pytest.approx(3.0 * (raw.light_uncertainty or 0))
        low, high = out.interval(0.9)
        half = 1.5 * np.hypot(np.hypot(out.uncertainty, out.light_uncertainty), 0.5 / 255)
        assert low == pytest.approx(np.clip(out.image - half, 0, 1), abs=1e-6)
        assert high == pytest.approx(np.clip(out.image + half, 0, 1), abs=1e-6)


def test_a_calibration_of_draws_says_nothing_about_it(restorer: Restorer) -> None:
    out = restorer.restore(PHOTO, fix="noise", uncertainty=True)
    draws = Calibration(2.0, {}, {}, 0.9, 8, 20, 100, 0.0, {k: out.protocol[k] for k in DECIDES})
    again = Restorer(dataclasses.replace(restorer.model, calibrations=(draws,)), "cpu", "fp32")
    assert again.restore(PHOTO, fix="noise", uncertainty=True).calibration is None


def test_an_interval_that_was_not_calibrated_names_the_settings(restorer: Restorer) -> None:
    out = restorer.restore(PHOTO, fix="noise", uncertainty=True, strength=0.2)
    with pytest.raises(InputError, match=r"no interval was calibrated for these settings \(.*strength 0\.2"):
        out.interval()
