from __future__ import annotations

import pytest
import torch

from unveil.diffusion import linear_pro, mean_reverting, residual
from unveil.diffusion.irsde import theta_sum
from unveil.diffusion.path import rddm, shares
from unveil.errors import InputError, ModelError
from unveil.models.network_registry import KINDS, build
from unveil.models.path_config import path
from unveil.models.spec import Defaults, Spec


def test_each_path_is_the_one_it_names() -> None:
    pairs = [
        (path("linear_pro(12)"), residual(linear_pro(12))),
        (path("linear_pro(12)", "index"), residual(linear_pro(12), "index")),
        (path("mean_reverting(cosine, 100, 0.005, 50)", "index"), mean_reverting(theta_sum("cosine", 100), 50 / 255)),
        (
            path("mean_reverting( linear,20,0.01,10 )"),
            mean_reverting(theta_sum("linear", 20, 0.01), 10 / 255, time="level"),
        ),
        (path("rddm(decreased, increased, 30, 0.01)"), rddm(shares("decreased", 30), shares("increased", 30), 0.01)),
    ]
    for got, expected in pairs:
        for name in ("alpha", "beta", "sigma", "decay", "timestep"):
            assert torch.equal(getattr(got, name), getattr(expected, name)), (got.name, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean_reverting(cosine, 100)", "unknown schedule"),
        ("mean_reverting(square, 100, 0.005, 50)", "describes no path: unknown theta schedule"),
        ("mean_reverting(cosine, many, 0.005, 50)", "numbers cannot be read"),
        ("rddm(decreased, increased, 0, 1)", "at least one step"),
        ("linear_pro(3)", "linear_pro is undefined"),
        ("__import__('os')", "write one as linear_pro"),
        ("", "unknown schedule"),
    ],
)
def test_what_describes_no_path_is_explained(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        path(text)


def test_a_network_that_counts_indices_knows_its_own_grid_alone() -> None:
    spec = Spec("x", {}, "mean_reverting(cosine, 20, 0.005, 50)", time="index", defaults=Defaults("mean_reverting", 20))
    assert spec.process().steps == 20
    assert spec.process(steps=5).timestep.tolist() == [0, 4, 8, 12, 16, 20]
    for grid in ("cubic", "linear_pro"):
        with pytest.raises(InputError, match="this model has mean_reverting alone"):
            spec.process(grid)
    assert Spec.from_json(spec.to_json()) == spec


def test_a_network_that_is_told_the_level_runs_on_subsets_of_its_path_and_on_no_other_path() -> None:
    spec = Spec("x", {}, "mean_reverting(cosine, 20, 0.005, 100)", defaults=Defaults("mean_reverting", 5))
    whole = spec.process(steps=20)
    assert torch.equal(whole.timestep, whole.sigma)
    assert spec.process().timestep.tolist() == whole.sigma[::4].tolist()
    with pytest.raises(InputError, match="this model has mean_reverting alone"):
        spec.process("cubic")


def test_twice_the_noise_on_minus_one_to_one_is_the_published_path() -> None:
    """The path commutes with x -> 2 x - 1, so a network may see either range."""
    unit, wide = (path(f"mean_reverting(cosine, 100, 0.005, {noise})") for noise in (50, 100))
    generator = torch.Generator().manual_seed(0)
    x0, y = torch.rand(2, 1, 3, 4, 4, generator=generator, dtype=torch.float64)
    eps = torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64)
    for t in (1, 40, 100):
        there = wide.forward(2 * x0 - 1, 2 * y - 1, t, eps)
        assert (2 * unit.forward(x0, y, t, eps) - 1 - there).abs().max() < 1e-12
        assert wide.ancestral(t, t - 1) == pytest.approx(2 * unit.ancestral(t, t - 1))


def test_descriptions_of_compact_models_have_no_new_words() -> None:
    assert '"time"' not in Spec("x", {}).to_json()


def test_every_kind_has_a_name_and_unknown_ones_are_refused() -> None:
    with torch.device("meta"):
        net = build({"kind": "unet", "dim": 8, "mults": [1, 2], "channels": 3, "mask_channels": 0})
    assert type(net).__name__ == "UNet"
    with pytest.raises(ModelError, match=f"'resnet'; this version knows {', '.join(KINDS)}"):
        build({"kind": "resnet"})
    with pytest.raises(ModelError, match=r"not complete \('mults'\)"):
        build({"kind": "compact", "base": 4})
