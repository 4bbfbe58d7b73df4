"""Between the photograph's way to a device and its way back nothing is fetched from there, so that nobody waits for it.

The meta device holds no numbers: whatever reads one, decides by one, or copies any to the processor raises there.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil import tiling
from unveil.diffusion import sampling
from unveil.diffusion.noise import normals
from unveil.errors import ModelError, UnveilWarning
from unveil.models import shelf
from unveil.models.model import Model
from unveil.models.treatment import first_evaluation, treatment
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_experts, tiny_model

META = torch.device("meta")


def elsewhere(model: Model) -> Model:
    return replace(model, predictor=copy.deepcopy(model.predictor), head=copy.deepcopy(model.head)).to(META)


def sampled(
    model: Model,
    *,
    fidelity: float | None,
    solver: str | None,
    side: int = 80,
    tile: int = 0,
    mends: bool = False,
    fix: str = "noise,haze",
    steps: int | None = 4,
) -> Tensor:
    """What `Restorer` does between the two copies, on the meta device."""
    restorer = Restorer(model, "cpu", "fp32")
    treat = treatment(None, fix) if model.spec.conditioned else None
    run = restorer.resolve(restorer._shortened(Options(fidelity=fidelity, solver=solver, steps=steps), treat))
    told = elsewhere(model).conditioned_on(treat)
    denoise = tiling.Tiled(
        told.denoiser(run.process, run.fidelity), lambda h, w: restorer.plan(h, w, Options(tile=tile)), mends=mends
    )

    def noise(step: int, like: Tensor) -> Tensor:
        h, w = like.shape[-2:]
        return normals(7, step, 0, 0, int(h), int(w), 3, like.device)[None].to(like)

    y = torch.zeros(1, 3, side, side + 1, device=META)
    with torch.inference_mode():
        return sampling.sample(
            denoise,
            y,
            run.process,
            noise,
            solver=run.solver,
            fidelity=run.fidelity,
            resolution=run.resolution,
            begin=first_evaluation(treat, run.process, model.spec),
        )


@pytest.mark.parametrize("make", [tiny_experts, tiny_model])
@pytest.mark.parametrize(("fidelity", "solver"), [(0.0, "ancestral"), (1.0, "ancestral"), (0.5, "2m")])
@pytest.mark.parametrize("tile", [0, 64])
def test_no_step_fetches_anything_from_the_device(make: Any, fidelity: float, solver: str, tile: int) -> None:
    out = sampled(make(), fidelity=fidelity, solver=solver, tile=tile)
    assert (out.device, out.shape) == (META, (1, 3, 80, 81))


@pytest.mark.parametrize("fix", ["noise", "haze", "noise,lowlight"])
@pytest.mark.parametrize("tile", [0, 64])
def test_nor_does_what_is_done_where_nobody_says_how(fix: str, tile: int) -> None:
    """Nothing asked for but what to fix: one evaluation at full size where light stays, the reduced stage before it elsewhere."""
    out = sampled(shelf.load("general"), fidelity=None, solver=None, steps=None, fix=fix, tile=tile)
    assert (out.device, out.shape) == (META, (1, 3, 80, 81))


def test_the_meta_device_would_tell() -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):  # looking whether a tile is finite is such a copy
        sampled(tiny_model(), fidelity=0.0, solver="ancestral", mends=True)


def test_what_is_not_finite_at_the_end_is_sampled_again_with_a_look_at_every_tile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU: the same pixels and the same words as where every tile is looked at from the first."""
    y = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    true = Model.predict

    def faulty(self: Model, *arguments: Any) -> Tensor:
        out = true(self, *arguments)
        return out * torch.nan if torch.is_autocast_enabled("cpu") else out

    here, there = (Restorer(tiny_model(), "cpu", "bf16") for _ in range(2))
    monkeypatch.setattr(there, "_mends", False)
    whole = there.restore(y, seed=3)
    assert np.abs(whole.image - here.restore(y, seed=3).image).max() == 0
    assert not whole.notes
    monkeypatch.setattr(Model, "predict", faulty)
    with pytest.warns(UnveilWarning, match="computed again in fp32"):
        mended = there.restore(y, seed=3)
    with pytest.warns(UnveilWarning, match="computed again in fp32"):
        wanted = here.restore(y, seed=3)
    assert np.array_equal(mended.image, wanted.image)
    assert mended.notes == wanted.notes
    monkeypatch.setattr(Model, "predict", lambda self, *arguments: true(self, *arguments) * torch.nan)
    with pytest.warns(UnveilWarning), pytest.raises(ModelError, match="not finite, in fp32 neither"):
        there.restore(y, seed=3)


@pytest.mark.parametrize("make", [tiny_experts, tiny_model])
@pytest.mark.parametrize("tile", ["auto", 64])
def test_draws_that_advance_together_are_those_that_were_drawn_one_by_one(
    monkeypatch: pytest.MonkeyPatch, make: Any, tile: int | str
) -> None:
    y = np.random.default_rng(1).random((70, 90, 3), dtype=np.float32)
    restorer = Restorer(make(), "cpu", "fp32")
    told = {"fix": "noise,haze"} if restorer.model.spec.conditioned else {}
    told |= {"samples": 5, "fidelity": 0.0, "seed": 4, "tile": tile}
    seen: list[tuple[int, tuple[int, ...]]] = []
    alone = restorer.restore(y, **told, callback=lambda step: seen.append((step.index, tuple(step.x0_hat.shape))))
    one_by_one, seen = sorted(seen), []
    monkeypatch.setattr(Restorer, "_together", lambda *_: 3)
    both = restorer.restore(y, **told, callback=lambda step: seen.append((step.index, tuple(step.x0_hat.shape))))
    assert both.samples.shape == (5, 70, 90, 3)
    assert np.abs(both.samples - alone.samples).max() < 1e-5
    assert np.abs(both.samples[0] - both.samples[1]).max() > 1e-3
    assert both.protocol == alone.protocol
    assert sorted(seen) == one_by_one


def test_draws_are_taken_one_by_one_where_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.random.default_rng(2).random((40, 50, 3), dtype=np.float32)
    restorer = Restorer(tiny_model(), "cpu", "fp32")
    wanted = restorer.restore(y, samples=2)
    true, batches = Model.predict, []

    def full(self: Model, x_t: Tensor, *rest: Any) -> Tensor:
        batches.append(len(x_t))
        if len(x_t) > 1:
            raise torch.OutOfMemoryError
        return true(self, x_t, *rest)

    monkeypatch.setattr(Restorer, "_together", lambda *_: 2)
    monkeypatch.setattr(Model, "predict", full)
    out = restorer.restore(y, samples=2)
    assert batches[:2] == [2, 1]
    assert np.array_equal(out.samples, wanted.samples)
    assert out.protocol == wanted.protocol
