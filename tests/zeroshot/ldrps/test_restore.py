from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from latents import Latents, latents

from unveil.diffusion.noise import seeded
from unveil.errors import Cancelled, InputError, UnveilWarning
from unveil.models import shelf
from unveil.zeroshot import captions
from unveil.zeroshot.guided_sampling import StepState
from unveil.zeroshot.ldrps import TASKS, Guidance, LDRPSSettings, grids, mixed_estimate, published, restore
from unveil.zeroshot.losses import perceptual
from unveil.zeroshot.priors.opening import open_prior


def test_each_image_of_a_batch_is_as_if_alone_whatever_the_order(prior, photograph, small):
    both = restore(prior, photograph, seeded([1, 2]), small)
    assert both.shape == photograph.shape
    assert torch.isfinite(both).all()
    turned = restore(prior, photograph.flip(0), seeded([2, 1]), small)
    assert torch.equal(both, turned.flip(0))
    assert torch.equal(both[1:], restore(prior, photograph[1:], seeded([2]), small))
    assert not torch.equal(both[1:], restore(prior, photograph[1:], seeded([3]), small))


def test_works_on_tensors_made_in_inference_mode(prior, photograph, small):
    with torch.inference_mode():
        inside = restore(prior, photograph[:1] * 1.0, seeded([1]), small)
    assert torch.equal(inside, restore(prior, photograph[:1], seeded([1]), small))


def test_progress_shows_the_batch_and_cancels(prior, photograph, small):
    seen = []
    rounds = replace(small, rounds=1)
    restore(prior, photograph, seeded([1, 2]), rounds, lambda p: seen.append((p.index, p.steps, tuple(p.x0_hat.shape))))
    assert seen == [(i, 12, (2, 3, 64, 70)) for i in range(12)]
    with pytest.raises(Cancelled, match="step 1 of"):
        restore(prior, photograph[:1], seeded([1]), small, lambda p: True)


@pytest.mark.parametrize("shape", [(1, 3, 63, 80), (1, 1, 64, 64), (3, 64, 64)])
def test_what_is_too_small_or_not_colour_is_refused(prior, small, shape):
    with pytest.raises(InputError, match="64 x 64 pixels or more"):
        restore(prior, torch.zeros(shape), seeded([1]), small)


def test_not_a_number_is_refused(prior, small):
    with pytest.raises(InputError, match="NaN"):
        restore(prior, torch.full((1, 3, 64, 64), torch.nan), seeded([1]), small)


@pytest.mark.parametrize("task", ["lowlight", "dehaze", "colorize", "auto"])
def test_a_grey_and_constant_photograph_comes_back_finite(prior, small, task):
    out = restore(prior, torch.full((1, 3, 64, 64), -0.5), seeded([1]), replace(small, task=task))
    assert torch.isfinite(out).all()


class Broken(Latents):
    """Its decoder's slope is NaN from call `since` on."""

    since = 0
    calls = 0

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        self.calls += z.requires_grad
        out = super().decode(z)
        return out + 0 * (z.sum() * 0).sqrt() if z.requires_grad and self.calls > self.since else out


def broken(since: int) -> Broken:
    made = latents()
    made.__class__ = Broken
    made.since = since
    return made


def test_guidance_that_is_not_finite_is_halved_and_then_given_up(photograph, small):
    with pytest.warns(UnveilWarning) as told:
        out = restore(broken(0), photograph[:1], seeded([1]), replace(small, rounds=2))
    said = [str(w.message) for w in told]
    assert len(said) == 2  # the later rounds are not begun
    assert "half of it is tried" in said[0]
    assert "last good estimate" in said[1]
    assert torch.isfinite(out).all()
    assert out.std() > 0


class Overflowing(Latents):
    """Slopes overflow above `most`, as in half precision; `largest` is the largest that came."""

    most = float("inf")
    largest = 0.0

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        out = super().decode(z)
        if z.requires_grad:
            out.register_hook(self.overflow)
        return out

    def overflow(self, slope: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, float(slope.abs().max()))
        return torch.where(slope.abs().amax() > self.most, torch.nan, slope)


def test_half_the_guidance_is_used_where_the_whole_overflows(photograph, small):
    made = latents()
    made.__class__ = Overflowing
    short = replace(small, steps=450, begin="input", recurrence=0.002)  # one step, from the end of the path
    restore(made, photograph[:1], seeded([1]), short)
    made.most = 0.75 * made.largest
    with pytest.warns(UnveilWarning, match="half of it is tried") as told:
        out = restore(made, photograph[:1], seeded([1]), short)
    assert len(told) == 1
    assert torch.isfinite(out).all()


class Prompted(Latents):
    asked: list[Any]

    def condition(self, prompt: str, negative: str = "") -> Any:
        self.asked.append(prompt)
        return prompt

    def denoise(self, z_t: torch.Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> torch.Tensor:
        self.asked.append((condition, guidance))
        return super().denoise(z_t, t)


@pytest.fixture
def prompted() -> Prompted:
    made = latents()
    made.__class__ = Prompted
    made.asked = []
    return made


def test_the_prompt_reaches_every_evaluation_and_its_absence_saves_one(prompted, photograph, small):
    restore(prompted, photograph[:1], seeded([1]), replace(small, prompt="a red barn", steps=2))
    assert prompted.asked == ["a red barn", ("a red barn", 8.0), ("a red barn", 8.0)]
    prompted.asked.clear()
    restore(prompted, photograph[:1], seeded([1]), replace(small, steps=2))
    assert prompted.asked == ["", ("", 1.0), ("", 1.0)]


def test_the_original_drops_the_text_of_noisy_photographs(prompted, photograph):
    restore(
        prompted, photograph[:1], seeded([1]), published("denoise", steps=2, rounds=0, width=2, prompt="a red barn")
    )
    assert prompted.asked[0] == ""


def test_a_captioner_is_asked_once_per_photograph_and_only_where_there_is_no_prompt(
    prompted, photograph, small, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        captions, "caption", lambda image, who, model: asked.append((image.shape, who, model)) or "a barn"
    )
    captioned = replace(small, steps=1, captioner="http://here", caption_model="m")
    restore(prompted, photograph, seeded([1, 2]), captioned)
    assert asked == [((3, 64, 70), "http://here", "m")] * 2
    assert prompted.asked[:2] == ["a barn", "a barn"]
    restore(prompted, photograph[:1], seeded([1]), replace(captioned, prompt="given"))
    assert len(asked) == 2


def test_the_published_estimate_is_one_of_two_steps():
    """At stride 2 it is the estimate itself to 1 %; at stride 50 it is 28 % too large (facts of the schedule)."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    from unveil.diffusion import step, variance_preserving

    path = variance_preserving(torch.cumprod(1 - beta, 0))
    x0 = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    for stride, factor in ((2, 1.0104), (50, 1.28)):
        z_t = path.forward(x0, x0, 900, torch.zeros_like(x0))
        u = 900 - stride
        m = StepState(900, u, z_t, x0, x0, step(path, 900, u, z_t, x0, x0, 0.0, None))
        ratio = float((mixed_estimate(float(path.alpha[900]), m) / x0).mean())
        assert ratio == pytest.approx(factor, abs=0.01)


def test_what_begins_at_the_photograph_needs_only_the_end_of_the_path(prior, small):
    whole, short = (grids(prior, replace(small, steps=10, begin=begin), 2) for begin in ("noise", "input"))
    assert [len(g) - 1 for g in whole] == [10, 5, 5]
    assert [len(g) - 1 for g in short] == [5, 5, 5]
    assert short[0][0] == 450
    assert grids(prior, published(), 1)[0][-1] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps"),
        ({"rounds": -1}, "rounds"),
        ({"guidance": -1.0}, "guidance"),
        ({"recurrence": 0.0}, "recurrence"),
        ({"begin": "middle"}, "begin"),
        ({"trust": float("nan")}, "trust"),
        ({"width": 5}, "width"),
        ({"rounds": 1.5}, "rounds must be a whole number, got 1.5"),
        ({"crop": 1}, "crop must be 0, for the whole image, or at least 2"),
        ({"recurrence": 1.5}, "recurrence must be between 0 and 1"),
    ],
)
def test_options_out_of_range(options, said):
    with pytest.raises(InputError, match=said):
        LDRPSSettings(**options)


def photograph_in_noise() -> tuple[torch.Tensor, torch.Tensor]:
    """A shipped photograph (1, 3, 96, 96) in [-1, 1], and the same with white noise of 50 of 255."""
    import numpy as np
    from PIL import Image

    import unveil

    with Image.open(Path(unveil.__file__).parent / "examples" / "coffee.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((96, 96), Image.Resampling.LANCZOS), np.float32)
    x = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
    return x, x + 0.4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def test_guidance_pulls_towards_the_photograph():
    """With the shipped prior: nearer to the noisy photograph than the same descent without guidance, and nearer to the clean
    one than either."""
    clean, y = photograph_in_noise()
    prior = open_prior(shelf.prior_folder("small-latent"), name="small-latent")
    settings = LDRPSSettings(task="denoise", steps=6, rounds=0, width=6, crop=32)

    def off(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a.clamp(-1, 1) - b).square().mean())

    guided, free = (restore(prior, y, seeded([1]), replace(settings, guidance=g)) for g in (None, 0.0))
    assert off(guided, y) < 0.7 * off(free, y)
    assert off(guided, clean) < 0.5 * off(free, clean)
    assert off(guided, clean) < 0.7 * off(y, clean)


def test_a_step_is_the_best_on_its_line(prior, photograph):
    """Along the gradient the loss is lowest where the pull ends: a little less and a little more are both worse."""
    settings = LDRPSSettings(task="denoise", width=6, crop=32)
    y = photograph[:1, :, :, :64]
    guidance = Guidance(prior, y, TASKS["denoise"], settings, perceptual(), seeded([1]), lambda image: None)
    guidance.waited = 1000
    z = prior.encode(y) + 0.3
    image = guidance._decode(z.requires_grad_())
    with torch.enable_grad():
        pull = guidance._gradient(z, image, 0.5)
    assert pull is not None
    with torch.no_grad():
        losses = [float(guidance.objective(guidance._decode(z + k * pull), 0.5)) for k in (0.0, 0.8, 1.0, 1.2)]
    assert losses[2] < min(losses[1], losses[3]) < losses[0]


def test_the_table_of_tasks_holds_a_row_for_every_task():
    assert set(TASKS) == {"lowlight", "dehaze", "denoise", "colorize"}
