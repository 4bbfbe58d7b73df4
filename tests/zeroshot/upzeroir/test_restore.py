"""UP-ZeroIR from end to end on priors known in closed form."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import Latent, Scripted, smooth
from gaussian import GaussianPrior
from torch import Tensor

from unveil.diffusion.noise import seeded
from unveil.diffusion.sampling import Progress
from unveil.errors import Cancelled, InputError, ModelError, UnveilWarning
from unveil.zeroshot.distribution import deg_loss
from unveil.zeroshot.ldrps import TASKS
from unveil.zeroshot.upzeroir import Descents, Objective, UPZeroIRSettings, restore

PLAIN = replace(TASKS["denoise"], perceptual=0.0)
FAST = UPZeroIRSettings(steps=10, rounds=0, width=4, weights=PLAIN, align_below=0.7)


def degraded(*size: int, seed: int = 0, count: int = 1) -> Tensor:
    """Smooth pictures, darker and noisy, (count, 3, H, W) in [-1, 1]."""
    height, width = size or (16, 16)
    draw = torch.Generator().manual_seed(seed)
    x = smooth((height, width)).draw(count, draw).clamp(-1, 1)
    return (0.7 * x - 0.2 + 0.1 * torch.randn(x.shape, generator=draw)).clamp(-1, 1)


def objective(prior: GaussianPrior, y: Tensor, x: Tensor, settings: UPZeroIRSettings) -> float:
    """What restoration minimises, before anything was learnt: PCDM is the identity."""
    fresh = Objective(prior, y, PLAIN, settings, 0.0, seeded([0]))  # type: ignore[arg-type]
    with torch.no_grad():
        return float(fresh.fidelity((x + 1) / 2))


@pytest.mark.parametrize(
    ("gradient", "begin", "gain"), [("x0", "noise", 0.55), ("xt", "noise", 0.55), ("x0", "input", 0.8)]
)
def test_guidance_improves_its_objective(gradient: str, begin: str, gain: float) -> None:
    """Against the same noise without guidance. A start from the photograph is near the end already."""
    prior, y = smooth(), degraded()
    settings = replace(FAST, steps=16, gradient=gradient, begin=begin)
    guided = restore(prior, y, seeded([1]), settings)
    free = restore(prior, y, seeded([1]), replace(settings, guidance=0.0))
    assert objective(prior, y, guided, settings) < gain * objective(prior, y, free, settings)


def test_alignment_helps_what_it_measures_and_the_rest() -> None:
    """The law of the latents comes nearer, and so does the photograph itself: that is what it is for."""
    prior, y = smooth(24), degraded(24, 24)
    left = []
    for deg in (0.0, 0.1):
        out = restore(prior, y, seeded([1]), replace(FAST, steps=16, deg=deg))
        fresh = Objective(prior, y, PLAIN, FAST, 0.0, seeded([0]))
        left.append((float(deg_loss(out, fresh.target)), float((out - y).square().mean())))
    assert left[1][0] < 0.6 * left[0][0]
    assert left[1][1] < 0.9 * left[0][1]


@pytest.mark.parametrize("prior", [smooth((8, 12)), Latent()], ids=["pixels", "latents"])
def test_a_batch_and_its_order_change_nothing(prior: Any) -> None:
    y = degraded(8, 12, count=3)
    settings = replace(FAST, steps=3, rounds=1)
    together = restore(prior, y, seeded([5, 6, 7]), settings)
    for order in ([1], [2, 0]):
        apart = restore(prior, y[order], seeded([5 + i for i in order]), settings)
        assert torch.equal(apart, together[order])
    assert not torch.equal(restore(prior, y[:1], seeded([8]), settings), together[:1])


def test_steps_push_as_far_together_however_many_they_are() -> None:
    """The guided distance from the free result, at 6 and at 18 steps of the same path."""
    prior, y = smooth(), degraded()
    moved = []
    for steps in (6, 18):
        settings = replace(FAST, steps=steps, guidance=1000.0, deg=0.0, adapter_rate=0.0)
        guided, free = (restore(prior, y, seeded([3]), replace(settings, guidance=g)) for g in (1000.0, 0.0))
        moved.append(float((guided - free).square().mean().sqrt()))
    assert moved[0] == pytest.approx(moved[1], rel=0.35)


def test_early_exit_returns_the_best_estimate_that_was_scored() -> None:
    prior, y = smooth(), degraded()
    settings = replace(FAST, steps=20)
    judge = Scripted(0.2, 0.6, 0.3)
    seen: list[Progress] = []
    out = restore(prior, y, seeded([4]), settings, seen.append, judge=judge)
    # Scored at 8, 6 and 4 of 20, and stopped there: 17 evaluations, at 20 down to 4.
    assert len(judge.seen) == 3
    assert prior.evaluations == len(seen) == 17
    torch.testing.assert_close(((out + 1) / 2).clamp(0, 1), judge.seen[1], rtol=0, atol=0)
    assert torch.equal(out, seen[20 - 6].x0_hat)
    last = restore(prior, y, seeded([4]), replace(settings, keep="last"), judge=Scripted(0.2, 0.6, 0.3))
    assert torch.equal(last, seen[-1].x0_hat)


@pytest.mark.parametrize(
    ("scores", "evaluations", "scored"),
    [
        ([0.1 * k for k in range(1, 30)], 40, 15),  # 20 + 10 + 10, each with four marks and a result
        ([0.1, 0.2, 0.3, 0.4, 0.405], 20, 5),  # the first result gains too little over its last mark
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.1, 0.2, 0.3, 0.4, 0.45], 30, 10),  # the second descent finds nothing better
    ],
)
def test_rising_scores_take_every_round_and_calm_ones_only_the_first(
    scores: list[float], evaluations: int, scored: int
) -> None:
    prior, judge = smooth(8), Scripted(*scores)
    restore(prior, degraded(8, 8), seeded([4]), replace(FAST, steps=20, rounds=2), judge=judge)
    assert (prior.evaluations, len(judge.seen)) == (evaluations, scored)


def test_without_a_judge_every_round_is_run_and_the_last_result_returned() -> None:
    prior, y = smooth(), degraded()
    seen: list[Progress] = []
    settings = replace(FAST, rounds=2)
    out = restore(prior, y.expand(2, -1, -1, -1), seeded([4, 5]), settings, seen.append)
    assert prior.evaluations == 2 * (10 + 5 + 5)
    assert [(p.index, p.steps) for p in seen] == [(k, 40) for k in range(40)]
    assert all(p.x0_hat.shape == (2, 3, 16, 16) for p in seen)
    # While the second is restored the first stands finished beside it.
    assert torch.equal(seen[20].x0_hat[:1], out[:1])
    assert torch.equal(seen[0].x0_hat[1:], y)


def test_it_can_be_cancelled() -> None:
    with pytest.raises(Cancelled, match="after step 3 of 10"):
        restore(smooth(), degraded(), seeded([0]), FAST, lambda p: p.index == 2)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 30)])
def test_any_size_comes_back_at_its_size(size: tuple[int, int]) -> None:
    prior = Latent()
    out = restore(prior, degraded(*size), seeded([0]), replace(FAST, steps=3))  # type: ignore[arg-type]
    assert out.shape == (1, 3, *size)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("task", ["auto", *TASKS])
@pytest.mark.parametrize("level", [-1.0, 0.0])
def test_grey_and_flat_images_stay_finite_under_every_task(task: str, level: float) -> None:
    """Colour's root, the flat latents' law, an image without contrast: the gradient is defined on all of them."""
    y = torch.full((1, 3, 16, 16), level)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = restore(smooth(), y, seeded([0]), UPZeroIRSettings(steps=5, rounds=0, width=4, task=task))
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    "options",
    [
        {"grouping": "pooled"}, {"grouping": "patch"}, {"location": "zero"}, {"location": "ignore"}, {"direction": "reverse"},
        {"direction": "symmetric"}, {"bound": "none"}, {"embed": "input"}, {"align_below": 1.0}, {"deg": 0.0}, {"begin": "input"},
        {"gradient": "xt"}, {"adapter_rate": 1e-3}, {"trust": 0.5}, {"recurrence": 0.8, "begin": "input"}, {"weights": TASKS["lowlight"]},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_changes_the_result_and_keeps_it_finite(options: dict[str, Any]) -> None:
    base = replace(FAST, steps=4, adapter_rate=1e-4)
    y = degraded(24, 24)
    outs = [restore(smooth(24), y, seeded([0]), settings) for settings in (base, replace(base, **options))]
    assert torch.isfinite(outs[1]).all()
    assert not torch.equal(*outs)


class Failing(GaussianPrior):
    """Breaks at the given evaluations: its estimate or the latents that it encodes are NaN."""

    broken: range = range(0)
    where: str = "encode"

    @classmethod
    def of(cls, where: str, broken: range) -> Failing:
        like = smooth(steps=100)
        prior = cls(like.mean, like.variance, like.into, like.back, process=like.process)
        prior.where, prior.broken = where, broken
        return prior

    def denoise(self, *args: Any, **kwargs: Any) -> Tensor:
        z = super().denoise(*args, **kwargs)
        return z * float("nan") if self.where == "denoise" and self.evaluations in self.broken else z

    def encode(self, x: Tensor) -> Tensor:
        return x * float("nan") if self.where == "encode" and self.evaluations in self.broken else x

    def decode(self, z: Tensor) -> Tensor:
        return z * float("inf") if self.where == "decode" and self.evaluations in self.broken else z


def test_a_guidance_that_is_not_finite_is_halved_and_then_left_out() -> None:
    """Three bad steps are survived; PCDM is not poisoned by them, and the push is an eighth from then on."""
    settings = replace(FAST, steps=20)
    run = Descents(
        Failing.of("encode", range(8, 11)), degraded(), seeded([0]), settings, (None, 1.0), lambda image: None, None
    )
    push = run.push
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = run([list(range(100, -1, -5))])
    assert run.push == push / 8
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p).all() for p in run.objective.pcdm.parameters())


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("encode", "the guidance was not finite, halved 4 times"),
        ("decode", "the estimate diverged"),
        ("denoise", "NaN"),
    ],
)
def test_what_stays_broken_ends_with_the_last_good_estimate(where: str, reason: str) -> None:
    y, seen = degraded(), list[Progress]()
    prior = Failing.of(where, range(8, 1000))
    with pytest.warns(UnveilWarning, match=f"{reason}.*last good estimate is kept"):
        out = restore(prior, y, seeded([0]), replace(FAST, steps=20, rounds=3), seen.append)
    assert prior.evaluations == (11 if where == "encode" else 8)
    assert torch.equal(out, seen[10 if where == "encode" else 6].x0_hat)
    # In a later round the whole result of the round before is better than half of the new one.
    prior = Failing.of(where, range(25, 1000))
    whole = restore(smooth(steps=100), y, seeded([0]), replace(FAST, steps=20))
    with pytest.warns(UnveilWarning, match=reason):
        assert torch.equal(restore(prior, y, seeded([0]), replace(FAST, steps=20, rounds=3)), whole)


def test_a_prior_that_never_answers_is_an_error() -> None:
    with pytest.raises(ModelError, match="NaN or infinity at its first step"):
        restore(Failing.of("denoise", range(1000)), degraded(), seeded([0]), FAST)


def test_inference_mode_around_it_does_not_matter() -> None:
    y = degraded()
    expected = restore(smooth(), y, seeded([0]), FAST)
    with torch.inference_mode():
        assert torch.equal(restore(smooth(), degraded(), seeded([0]), FAST), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": "x"}, "unknown begin 'x'; known are noise, input"),
        ({"task": "x"}, "unknown task 'x'; known are auto, lowlight"),
        ({"recurrence": 0}, r"recurrence is a share of the path in \(0, 1\], got 0"),
        ({"judge_every": 1.5}, "judge_every is a share"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"guidance": float("nan")}, "guidance must be at least 0, got nan"),
        ({"rounds": 1.5}, "rounds must be a whole number, got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UPZeroIRSettings(**options)


def test_arniqa_is_asked_for_by_the_folder_of_its_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds neither ARNIQA\.safetensors nor ARNIQA\.pth"):
        restore(smooth(8), degraded(8, 8), seeded([0]), replace(FAST, arniqa=tmp_path), judge=Scripted(1.0))


@pytest.mark.parametrize("y", [torch.zeros(1, 1, 8, 8), torch.zeros(3, 8, 8), torch.full((1, 3, 8, 8), float("nan"))])
def test_what_is_no_colour_image_is_refused(y: Tensor) -> None:
    with pytest.raises(InputError, match="finite colour images"):
        restore(smooth(8), y, seeded([0]), FAST)
