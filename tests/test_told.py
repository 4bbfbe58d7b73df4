"""Restoring with a model that is told what to fix, or asks the describer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.degradation.primitives import linear_to_srgb, srgb_to_linear
from unveil.draws import HIGHLIGHTS, LEFT_OF_LIGHT, MOST_GAIN, _harmless
from unveil.errors import InputError, UnveilWarning
from unveil.models import describer, shelf
from unveil.models.describer import Description
from unveil.models.model import Model
from unveil.models.treatment import GUESSED, repeated, treatment
from unveil.networks.condition import KINDS
from unveil.photo.srgb import LUMA, decode, encode
from unveil.restorer import Options, Restorer, as_photo, describe_photo
from unveil.testing import tiny_experts, tiny_model

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(tiny_experts(), device="cpu")


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 0.8, (height, width, 3)).astype(np.float32)


class Says:
    speaker = "a test"

    def __init__(self, **probabilities: float) -> None:
        self.said, self.shapes, self.dtypes = probabilities, [], set[torch.dtype]()

    def describe(
        self, pixels: np.ndarray, dtype: torch.dtype = torch.float32, restorer: Model | None = None
    ) -> Description:
        self.shapes.append(pixels.shape)
        self.dtypes.add(dtype)
        return Description(self.said, "a test", False)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    speaker = Says()
    monkeypatch.setattr(describer, "shipped", lambda: speaker)
    return speaker


def test_nothing_found_nothing_changed(restorer: Restorer, says: Says) -> None:
    says.said = {"noise": 0.1, "shadow": 0.3, "clean": 0.9}
    y = picture()
    out = restorer.restore(y, samples=2)
    assert np.array_equal(out.image, y)
    assert out.network_seconds == 0
    assert out.std is not None
    assert not out.std.any()
    assert "left as it is" in out.notes[0]


@pytest.mark.parametrize(("dtype", "wanted"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_describer_computes_in_the_precision_that_was_asked_for(
    says: Says, dtype: str, wanted: torch.dtype
) -> None:
    Restorer(tiny_experts(), "cpu", dtype).restore(picture())
    assert says.dtypes == {wanted}


@pytest.mark.parametrize("whole", [0, 1, np.int64(0)])
def test_a_fidelity_in_whole_numbers_is_the_same_number(restorer: Restorer, whole: int) -> None:
    scene, told = picture(), {"lowlight": 0.7, "noise": 0.4}
    one, other = (restorer.restore(scene, told=told, fidelity=f, seed=3) for f in (whole, float(whole)))
    assert np.array_equal(one.image, other.image)
    assert one.protocol["fidelity"] == float(whole)
    assert not np.array_equal(one.image, scene)


def test_strength_0_asks_nobody(restorer: Restorer, says: Says) -> None:
    y = picture()
    out = restorer.restore(y, strength=0)
    assert np.array_equal(out.image, y)
    assert out.image is not y
    assert out.network_seconds == 0
    assert says.shapes == []
    assert "told" not in out.protocol
    for named in ({"fix": "noise"}, {"told": {"noise": 1.0}}):
        out = restorer.restore(y, strength=0, **named)
        assert np.array_equal(out.image, y)
        assert out.notes == (), "nothing is fixed"
    with pytest.raises(InputError, match="told"):
        restorer.restore(y, strength=0, told={"fog": 1.0})


def test_what_is_found_is_fixed_and_said(restorer: Restorer, says: Says) -> None:
    says.said = {"noise": 0.8, "haze": 0.6}
    y = picture()
    out = restorer.restore(y)
    assert not np.array_equal(out.image, y)
    assert out.notes[0] == "found noise 80%, haze 60%; cleared by 82%, all of it with --fix haze,noise"
    assert out.protocol["told"]["noise"] == pytest.approx(
        6 / 7, abs=1e-4
    )  # odds of 0.8 against those of the threshold, 0.4
    assert np.array_equal(restorer.restore(y, told=out.protocol["told"]).image, out.image)
    assert not np.array_equal(restorer.restore(y, fix=("noise", "haze")).image, out.image)  # certain, not likely


def test_told_the_describer_is_not_asked(restorer: Restorer, says: Says) -> None:
    restorer.restore(picture(), fix="noise")
    assert says.shapes == []


@pytest.mark.parametrize("fix", ["noise", "jpeg,blur", "rain"])
def test_light_that_is_not_to_be_fixed_stays(restorer: Restorer, fix: str) -> None:
    for seed in range(3):
        y = picture(seed=seed)
        out = restorer.restore(y, fix=fix).image
        assert not np.array_equal(out, y)
        assert np.abs((out - y).mean((0, 1))).max() < 0.2 / 255


def test_light_is_decided_by_the_first_steps_alone(restorer: Restorer) -> None:
    y = picture()
    steps = []
    for fix in ("noise", "haze"):
        count = 0

        def count_one(_: object) -> None:
            nonlocal count
            count += 1

        restorer.restore(y, fix=fix, callback=count_one)
        steps.append(count)
    assert steps == [1, 5]


@pytest.mark.parametrize(("settings", "evaluations", "recorded"), [
    ({}, 1, 3), ({"steps": 5}, 2, 5), ({"fidelity": 0.0}, 2, 5), ({"solver": "ddim"}, 2, 5), ({"resolution": "off"}, 2, 5),
])  # fmt: skip
def test_one_evaluation_does_where_light_stays_and_nobody_says_otherwise(
    restorer: Restorer, settings: dict[str, object], evaluations: int, recorded: int
) -> None:
    y, seen = picture(), []
    out = restorer.restore(y, fix="noise", callback=lambda step: seen.append(step.index) and False, **settings)
    assert len(seen) == evaluations
    assert out.protocol["steps"] == recorded
    assert not np.array_equal(out.image, y)
    own = ("steps", "grid", "solver", "fidelity", "resolution", "strength", "samples", "seed", "tile", "told")
    assert np.array_equal(restorer.restore(y, **{k: out.protocol[k] for k in own}).image, out.image)


def test_one_step_is_enough_steps_for_detail(restorer: Restorer) -> None:
    """One step of two experts decides the light alone, so that noise would come back as it was."""
    y = picture()
    one, two = (restorer.restore(y, fix="noise", steps=steps, seed=1) for steps in (1, 2))
    assert np.array_equal(one.image, two.image)
    assert not np.array_equal(one.image, y)
    assert one.protocol["steps"] == 2
    assert "steps=1 would decide the light alone; 2 were taken" in one.notes
    assert restorer.restore(y, fix="lowlight", steps=1, seed=1).protocol["steps"] == 1


def test_what_is_left_without_haze_is_exposed_anew() -> None:
    """As bright on average as it was photographed, in linear light, unless its highlights would be blown out or that took over a stop."""
    before = 0.6 * picture()
    hazy, lit, noisy = (treatment(None, fix=kinds) for kinds in ("haze", "haze,lowlight", "noise"))

    def light(x: np.ndarray) -> float:
        return float((decode(x) @ LUMA).mean())

    after = encode(0.7 * decode(before))
    assert light(_harmless(before, after.copy(), hazy)) == pytest.approx(light(before), rel=1e-3)
    assert np.allclose(_harmless(before, after.copy(), hazy), before, atol=1e-3)
    assert np.array_equal(_harmless(before, after.copy(), lit), after), "what is lit has its exposure by that"
    assert _harmless(before, after.copy(), noisy).mean() == pytest.approx(before.mean(), abs=1e-3), (
        "means stay, as ever"
    )
    dark = encode(0.3 * decode(before))
    assert light(_harmless(before, dark.copy(), hazy)) == pytest.approx(MOST_GAIN * light(dark), rel=1e-3)
    bright = encode(decode(before) * (0.5 / np.quantile(decode(before).max(axis=-1), 0.995)))
    veil = np.broadcast_to(np.array([0.66, 0.62, 0.6], np.float32), before.shape)
    kept = _harmless(veil, bright.copy(), hazy)
    assert np.quantile(kept.max(axis=-1), 0.995) == pytest.approx(HIGHLIGHTS, abs=0.01)
    assert kept.mean() > bright.mean()
    assert np.array_equal(_harmless(np.clip(1.4 * veil, 0, 1), bright.copy(), hazy), bright), (
        "that photograph had no room"
    )
    assert np.array_equal(_harmless(after, before.copy(), hazy), before), "nothing gets darker by it"


def test_haze_that_nobody_named_takes_a_bounded_share_of_the_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole change is made smaller until the mean light is that bound; haze that a person named is taken away as far as it goes."""
    monkeypatch.setattr("unveil.draws.MOST_GAIN", 1.0)
    before = picture()
    guessed, named = repeated({"haze": 0.9}), repeated({"haze": 1.0})
    for left in (0.3, 0.75):
        after = left * before
        assert np.array_equal(_harmless(before, after.copy(), named), after)
        kept = _harmless(before, after.copy(), guessed)
        stays = max(1 - guessed.share * (1 - left), LEFT_OF_LIGHT)
        assert kept.mean() == pytest.approx(stays * before.mean(), rel=1e-5)
        assert np.allclose(kept, stays * before, atol=1e-6)
    assert treatment({"haze": 1.0}).probabilities["haze"] < 1, "the describer's word, however sure, is a guess"


def test_low_light_that_nobody_named_is_lit_as_far_as_it_is_likely() -> None:
    """A half at least, all where the describer is sure or a person named it; a protocol says as much as the describer did."""
    before = 0.2 * picture()
    after = np.sqrt(before)
    for said, share in ((0.15, 0.5), (0.4, 0.5), (0.7, 0.7), (0.89, 0.89), (0.91, 1.0)):
        found = treatment({"lowlight": said, "noise": 0.9})
        assert found.share == pytest.approx(share, abs=1e-3)
        assert repeated(found.probabilities).share == found.share
        kept = _harmless(before, after.copy(), found)
        assert np.allclose(kept, before + found.share * (after - before), atol=1e-6)
        assert (f"lit by {share:.0%}, all of it with --fix lowlight,noise" in found.sentence()) == (share < 1)
    for whole in (treatment(None, fix="lowlight"), treatment({"noise": 0.9}), treatment({"lowlight": 0.1})):
        assert whole.share == 1
    assert np.array_equal(_harmless(before, after.copy(), treatment(None, fix="lowlight")), after)


def test_haze_that_nobody_named_goes_as_far_as_it_is_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of what lies behind the haze, of which the network is told for certain, and of the photograph as it is."""
    monkeypatch.setattr("unveil.draws.MOST_GAIN", 1.0)
    before = picture()
    after = 0.8 * before
    for said, share in (
        (0.35, 0.5),
        (0.5, 2 / 3),
        (0.65, 0.873),
        (0.8, 1.0),
    ):  # twice the odds squared: 0.58, 2, 6.9 and 32
        guess = treatment({"haze": said, "noise": 0.9})
        assert guess.share == pytest.approx(share, abs=1e-3)
        guess = repeated({**guess.probabilities, "noise": 1.0})
        assert guess.share == pytest.approx(share, abs=1e-3)
        assert guess.vector()[KINDS.index("haze")] == pytest.approx(GUESSED)
        assert guess.vector()[KINDS.index("noise")] == 1
        assert np.allclose(_harmless(before, after.copy(), guess), before + guess.share * (after - before), atol=1e-6)
    both = repeated({"haze": 0.9, "lowlight": 0.8})
    assert both.share == both.shares["lowlight"] == pytest.approx(0.5)
    assert repeated({"haze": 1.0}).share == repeated({"haze": 0.0}).share == 1


def test_grey_stays_grey_whatever_is_fixed(restorer: Restorer) -> None:
    y = np.repeat(picture()[..., :1], 3, axis=2)
    for fix in ("noise", "light"):
        out = restorer.restore(y, fix=fix).image
        assert (out == out[..., :1]).all()
        assert not np.array_equal(out, y)


def test_bars_stay_and_are_not_looked_at(restorer: Restorer, says: Says) -> None:
    says.said = {"lowlight": 0.9}
    inside = picture()
    framed = np.zeros((80, 64, 3), np.float32)
    framed[16:64] = inside
    out = restorer.restore(framed).image
    assert says.shapes == [(48, 64, 3)]
    assert not out[:16].any()
    assert not out[64:].any()
    assert np.array_equal(out[16:64], restorer.restore(inside).image)


def test_black_in_which_nothing_is_hidden_stays(restorer: Restorer) -> None:
    cap = np.full((40, 40, 3), 1 / 255, np.float32)
    assert np.array_equal(restorer.restore(cap, fix="light").image, cap)
    night = picture()
    night[:24] = 0
    out = restorer.restore(night, fix="light").image
    assert not out[:18].any()


def test_tiles_and_draws_see_the_same_decisions(restorer: Restorer) -> None:
    y = picture(96, 96)
    whole = restorer.restore(y, fix="noise,haze", fidelity=0.0, samples=2, seed=4)
    assert np.array_equal(whole.samples[0], restorer.restore(y, fix="noise,haze", fidelity=0.0, seed=4).image)


def test_options_are_checked_before_anything_is_read(restorer: Restorer) -> None:
    with pytest.raises(InputError, match="did you mean noise"):
        Options(fix="nois")
    with pytest.raises(InputError, match="leave out fix and keep"):
        Options(told={"noise": 1.0}, keep="light")
    with pytest.raises(InputError, match="cannot be told what to fix"):
        Restorer(tiny_model(), device="cpu").restore(picture(), fix="noise")


def test_strength_blends_inside_the_bars_alone(restorer: Restorer) -> None:
    y = np.zeros((60, 64, 3), np.float32)
    y[6:54] = picture()
    full, half = (restorer.restore(y, fix="noise", strength=s).image for s in (1.0, 0.5))
    assert np.allclose(half, (y + full) / 2, atol=1e-6)


def test_a_model_for_tests_is_the_same_in_every_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: tiny_experts().predictor.native.stem.weight, range(16)))
    assert all(bool((weight == made[0]).all()) for weight in made)


def test_a_picture_that_may_not_be_written_to_is_described_without_a_word() -> None:
    """Some readers hand out read-only arrays; torch warns of them, and here a warning is an error."""
    pixels = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (48, 64, 3))
    thin = np.asfortranarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)
    for given in (pixels, np.lib.stride_tricks.as_strided(thin, thin.shape, thin.strides, writeable=False)):
        assert describer.load().describe(given).probabilities
    flat = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    flat.flags.writeable = False
    assert describer.load().describe(flat.transpose(1, 2, 0)).probabilities


@pytest.fixture
def with_specialist(monkeypatch: pytest.MonkeyPatch) -> tuple[Restorer, Restorer]:
    """A restorer whose model names another as better at shadows, and that other one."""
    other = replace(tiny_experts(seed=5), sha256="5" * 64)
    monkeypatch.setattr(shelf, "load", lambda name: {"penumbra": other}[name])
    return Restorer(replace(tiny_experts(), specialists={"shadow": "penumbra"}), "cpu"), Restorer(other, "cpu")


@pytest.mark.parametrize(("fix", "keep"), [("shadow", ()), ("shadow,noise", ()), ("light", ("haze", "lowlight"))])
def test_a_named_shadow_is_the_specialists(
    with_specialist: tuple[Restorer, Restorer], fix: str, keep: tuple[str, ...]
) -> None:
    general, specialist = with_specialist
    out, alone = (r.restore(picture(), fix=fix, keep=keep, seed=3) for r in with_specialist)
    assert np.array_equal(out.image, alone.image)
    assert not np.array_equal(out.image, picture())
    assert out.protocol == alone.protocol
    assert out.protocol["sha256"] == "5" * 64
    assert general.protocol(Options(fix=fix, keep=keep)) == specialist.protocol(Options(fix=fix, keep=keep))
    assert any("by the model" in said for said in out.notes)
    again = specialist.restore(picture(), told=out.protocol["told"], seed=3)
    assert np.array_equal(again.image, out.image)


@pytest.mark.parametrize(
    "settings", [{"fix": "noise"}, {"fix": "light"}, {"fix": "haze,shadow"}, {"told": {"shadow": 1.0}}]
)
def test_all_else_is_the_models_own(with_specialist: tuple[Restorer, Restorer], settings: dict[str, Any]) -> None:
    general, _ = with_specialist
    own = Restorer(tiny_experts(), "cpu")
    out, alone = (r.restore(picture(), seed=3, **settings) for r in (general, own))
    assert np.array_equal(out.image, alone.image)
    assert out.notes == alone.notes


def test_a_described_photograph_is_the_specialists_too(with_specialist: tuple[Restorer, Restorer]) -> None:
    general, specialist = with_specialist
    options = Options(fix=("shadow",), seed=3)
    seen = describe_photo(general, as_photo(picture()), options)
    assert np.array_equal(general.restore(seen, options).image, specialist.restore(picture(), options).image)
    assert general.specialist(seen.treat) is general.specialist(seen.treat)  # opened once


def test_a_shadow_that_the_describer_finds_is_the_specialists_too(
    with_specialist: tuple[Restorer, Restorer], says: Says
) -> None:
    says.said = {"shadow": 0.97, "noise": 0.7}
    out, alone = (r.restore(picture(), seed=3) for r in with_specialist)
    assert np.array_equal(out.image, alone.image)
    assert out.protocol == alone.protocol
    says.said |= {"haze": 0.9}
    out, own = (r.restore(picture(), seed=3) for r in (with_specialist[0], Restorer(tiny_experts(), "cpu")))
    assert np.array_equal(out.image, own.image), "with haze beside it, it is for the model that knows both"


def test_the_model_for_shadows_ships_and_is_made_as_the_general_one() -> None:
    general = shelf.load("general")
    assert general.specialists == {"shadow": "shadow"}
    shadow = shelf.load("shadow")
    ours, theirs = (m.predictor.state_dict() for m in (general, shadow))
    assert {name: weight.shape for name, weight in ours.items()} == {
        name: weight.shape for name, weight in theirs.items()
    }
    assert not torch.equal(general.predictor.low.stem.weight, shadow.predictor.low.stem.weight)
    assert shadow.spec.reach == general.spec.reach
    assert shadow.doubt is not None
    with pytest.warns(UnveilWarning, match="srd no longer ships; shadow is taken"):
        assert shelf.load("srd").sha256 == shadow.sha256


def test_a_shadow_in_a_photograph_is_mended_and_one_that_is_not_there_is_not() -> None:
    """A soft-edged stripe across a portrait at a third of its light; and the portrait itself, told the same."""
    with Image.open(ROOT / "src" / "unveil" / "examples" / "astronaut.jpg") as opened:
        clean = np.asarray(opened.convert("RGB"), np.float32) / 255
    edge = np.clip((np.arange(clean.shape[1]) / clean.shape[1] - np.array([[0.25], [0.625]])) * 30 + 0.5, 0, 1)
    left = torch.from_numpy(1 - 0.65 * (edge[0] - edge[1]).astype(np.float32))[None, :, None]
    shaded = linear_to_srgb(srgb_to_linear(torch.from_numpy(clean.copy())) * left).numpy()
    general = Restorer(shelf.load("general"), "cpu")

    def psnr(a: np.ndarray, b: np.ndarray) -> float:
        return float(-10 * np.log10(np.mean((a - b) ** 2)))

    mended, alone = (general.restore(y, fix="shadow").image for y in (shaded, clean))
    assert psnr(mended, clean) > psnr(shaded, clean) + 1.5
    assert psnr(alone, clean) > 30
