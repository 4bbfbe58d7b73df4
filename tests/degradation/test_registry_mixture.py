from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.degradation import KINDS, mixture, quantise
from unveil.degradation.registry import ORDER
from unveil.errors import InputError


def seeded(seed: int = 11) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def batch(photographs: Tensor) -> Tensor:
    return photographs.repeat(8, 1, 1, 1)


def test_deterministic(batch: Tensor) -> None:
    y, labels, params = mixture(batch, seeded())
    again, labels_again, _ = mixture(batch, seeded())
    assert torch.equal(y, again)
    assert labels == labels_again
    assert not torch.equal(y, mixture(batch, seeded(12))[0])
    assert set(params) == {kind for label in labels for kind in label}


def test_labels_say_what_was_done(batch: Tensor) -> None:
    before = batch.clone()
    y, labels, _ = mixture(batch, seeded(), clean=0.3)
    assert torch.equal(batch, before)
    assert len(labels) == len(batch)
    assert any(labels)
    assert () in labels
    for i, label in enumerate(labels):
        assert torch.equal(y[i], batch[i]) == (label == ()), (i, label)


def test_labels_are_in_physical_order_and_index_the_parameters(batch: Tensor) -> None:
    _, labels, params = mixture(batch, seeded(), second=1.0, clean=0.0)
    for label in labels:
        assert len(label) == 2
        assert ORDER.index(label[0]) < ORDER.index(label[1])
    for kind, drawn in params.items():
        assert drawn["index"].tolist() == [i for i, label in enumerate(labels) if kind in label]
        assert all(len(v) == len(drawn["index"]) for v in drawn.values())


def test_order_is_scene_then_sensor_then_file() -> None:
    assert set(ORDER) == set(KINDS) - {"wild"}
    assert ORDER[-2:] == ("noise", "jpeg")


def test_a_single_kind_does_what_its_simulator_does(batch: Tensor) -> None:
    y, labels, params = mixture(batch, seeded(), weights={"haze": 1.0}, second=1.0, clean=0.0)
    assert labels == [("haze",)] * len(batch)
    t, a = params["haze"]["transmission"], params["haze"]["airlight"]
    exact = batch * t + a * (1 - t)
    rounded = (y - quantise(exact)).abs().amax((1, 2, 3)) < 1e-6
    unrounded = (y - exact).abs().amax((1, 2, 3)) < 1e-5
    # Where the last bit of `exact` falls on a rounding boundary the level may differ by one.
    near = (y - exact).abs().amax((1, 2, 3)) < 0.5 / 255 + 1e-5
    assert near.all()
    assert rounded.float().mean() > 0.5
    assert 0 < unrounded.sum() < 0.3 * len(batch)


def test_frequencies() -> None:
    x = torch.rand(1500, 3, 2, 2, generator=seeded())
    _, labels, _ = mixture(x, seeded(), weights={"noise": 3.0, "blur": 1.0, "jpeg": 0.0}, second=0.35, clean=0.08)
    n = len(labels)
    assert abs(labels.count(()) / n - 0.08) < 0.03
    assert abs(labels.count(("blur", "noise")) / n - 0.92 * 0.35) < 0.04
    assert abs(labels.count(("noise",)) / n - 0.92 * 0.65 * 0.75) < 0.04
    assert set(labels) == {(), ("noise",), ("blur",), ("blur", "noise")}


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (65, 33)])
def test_odd_sizes_stay_in_range(size: tuple[int, int]) -> None:
    y, _, _ = mixture(torch.rand(24, 3, *size, generator=seeded()), seeded())
    assert y.shape == (24, 3, *size)
    assert torch.isfinite(y).all()
    assert y.min() >= 0
    assert y.max() <= 1


def test_the_wild_pipeline_goes_with_no_other_kind() -> None:
    x = torch.rand(40, 3, 16, 16, generator=seeded())
    y, labels, params = mixture(x, seeded(1), weights={"wild": 1.0, "noise": 1.0, "jpeg": 1.0}, second=1.0, clean=0.0)
    assert {kinds for kinds in labels if "wild" in kinds} == {("wild",)}
    assert all(len(kinds) == 2 for kinds in labels if "wild" not in kinds)  # the others are doubled, never by it
    assert len(params["wild"]["index"]) == sum(kinds == ("wild",) for kinds in labels) > 4
    assert y.min() >= 0
    assert y.max() <= 1
    alone, told, _ = mixture(x[:4], seeded(2), weights={"wild": 1.0}, second=1.0, clean=0.0)
    assert told == [("wild",)] * 4
    assert (alone * 255 - (alone * 255).round()).abs().max() < 1e-4


def test_all_clean_is_the_identity(batch: Tensor) -> None:
    y, labels, params = mixture(batch, seeded(), clean=1.0)
    assert torch.equal(y, batch)
    assert set(labels) == {()}
    assert params == {}


def test_a_share_of_a_kind_is_drawn_strong(batch: Tensor) -> None:
    x = batch[:, :, :16, :16].repeat(-(-600 // len(batch)), 1, 1, 1)
    for share in (0.0, 0.5, 1.0):
        _, _, params = mixture(x, seeded(3), weights={"noise": 1.0}, second=0.0, clean=0.0, strong={"noise": share})
        severity = params["noise"]["severity"].flatten()
        expected = share + (1 - share) / 3
        assert float((severity > 2 / 3).float().mean()) == pytest.approx(expected, abs=4 * 0.5 / len(x) ** 0.5)
        assert float(severity.max()) <= 1
    whole, _, _ = mixture(batch, seeded(), weights={"haze": 1.0})
    untouched, _, _ = mixture(batch, seeded(), weights={"haze": 1.0}, strong={"noise": 0.5})
    assert torch.equal(whole, untouched)


def test_wrong_arguments_are_refused(batch: Tensor) -> None:
    with pytest.raises(InputError, match="share of strong 'noise'"):
        mixture(batch, seeded(), strong={"noise": 1.5})
    with pytest.raises(InputError, match="did you mean noise"):
        mixture(batch, seeded(), weights={"nois": 1.0})
    with pytest.raises(InputError, match="positive weight"):
        mixture(batch, seeded(), weights={"noise": 0.0})
    with pytest.raises(InputError, match="weight of 'noise'"):
        mixture(batch, seeded(), weights={"noise": -1.0})
    with pytest.raises(InputError, match="second"):
        mixture(batch, seeded(), second=1.5)
    with pytest.raises(InputError, match="clean"):
        mixture(batch, seeded(), clean=float("nan"))
