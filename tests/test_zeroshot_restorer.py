"""The door to zero-shot methods: a photograph in, a Restoration out, with any prior and any method."""

from __future__ import annotations

import contextlib
import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unveil import loading
from unveil.diffusion.path import variance_preserving
from unveil.errors import Cancelled, InputError, ModelError, note
from unveil.restorer import Options, Restorer
from unveil.zeroshot import methods
from unveil.zeroshot_restorer import ZeroShotPlan, ZeroShotRestorer

RESULT = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "zeroshot_quality.json"


class Shrink:
    """A prior of pixels around grey with variance 1: E[x0 | x_t] = a x_t, in closed form."""

    name, sha256 = "shrink", "0" * 64
    channels, factor, multiple_of, native, prompted = 3, 1, 8, 16, False
    process = variance_preserving((1 - torch.linspace(1e-4, 0.02, 100, dtype=torch.float64)).cumprod(0))
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
        self.sizes.append((int(z_t.shape[-2]), int(z_t.shape[-1])))
        return float(self.process.alpha[t]) * z_t

    def condition(self, prompt: str, negative: str = "") -> None:
        if prompt:
            raise InputError("shrink is not steered by text")

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((21, 30, 3)).astype(np.float32)


def made(method: str = "ddrm", memory: int | None = None, **settings: Any) -> ZeroShotRestorer:
    return ZeroShotRestorer(Shrink(), method, settings or {"operator": "identity", "noise": 0.1}, memory=memory)  # type: ignore[arg-type]


def test_a_photograph_in_and_a_restoration_out(image: np.ndarray) -> None:
    out = made().restore(image, steps=4, samples=3, seed=7)
    assert out.image.shape == image.shape
    assert out.samples.shape == (3, *image.shape)
    assert out.std is not None
    assert out.std.max() > 0
    assert (out.image >= 0).all()
    assert (out.image <= 1).all()
    assert out.protocol["method"] == "ddrm"
    assert out.protocol["steps"] == 4
    assert out.protocol["noise"] == 0.1
    assert out.protocol["counts"]["denoise"] == 12
    json.dumps(out.protocol)  # a manifest can hold it


def test_the_posterior_mean_is_nearer_than_the_noisy_photograph() -> None:
    """With this prior and an identity operator the posterior is known: its mean halves the error at equal variances."""
    rng = torch.Generator().manual_seed(1)
    clean = torch.rand(3, 32, 32, generator=rng)
    noisy = (clean + 0.3 * torch.randn(clean.shape, generator=rng)).numpy().transpose(1, 2, 0)
    out = made(operator="identity", noise=0.3).restore(np.clip(noisy, 0, 1), steps=20, samples=8, seed=0)
    target = clean.numpy().transpose(1, 2, 0)
    assert ((out.mean - target) ** 2).mean() < 0.8 * ((np.clip(noisy, 0, 1) - target) ** 2).mean()


def test_same_seed_same_pixels_and_draws_do_not_depend_on_their_number(image: np.ndarray) -> None:
    once, twice = made().restore(image, steps=3, seed=5), made().restore(image, steps=3, seed=5, samples=2)
    np.testing.assert_array_equal(once.image, twice.samples[0])
    assert not np.array_equal(once.image, made().restore(image, steps=3, seed=6).image)


def test_an_enlarging_operator_enlarges(image: np.ndarray) -> None:
    out = made(operator="downsample:factor=2", noise=0.05).restore(image, steps=2)
    assert out.image.shape == (42, 60, 3)
    with pytest.raises(InputError, match="strength"):
        made(operator="downsample:factor=2", noise=0.05).restore(image, steps=2, strength=0.5)


def test_strength_blends_with_the_photograph(image: np.ndarray) -> None:
    full, half = (made().restore(image, steps=2, strength=s).image for s in (1.0, 0.5))
    np.testing.assert_allclose(half, image + 0.5 * (full - image), atol=1e-6)


def test_cancel(image: np.ndarray) -> None:
    seen: list[int] = []
    with pytest.raises(Cancelled):
        made().restore(image, steps=4, callback=lambda p: seen.append(p.index) or len(seen) == 2)
    assert seen == [0, 1]


def test_tiles_bound_what_the_prior_is_given(image: np.ndarray) -> None:
    whole, tiled = made(), made()
    a = whole.restore(image, steps=2).image
    b = tiled.restore(image, steps=2, tile=16).image
    assert max(max(s) for s in tiled.prior.sizes) <= 16  # type: ignore[attr-defined]
    np.testing.assert_allclose(a, b, atol=1e-5)  # this prior looks at one pixel


def test_large_photographs_are_tiled_unless_told_otherwise() -> None:
    r = made(memory=1 << 33)
    assert r.plan(3000, 2000) == ZeroShotPlan(3000, 2000, 512, r.method.held * 6_000_000)
    assert r.plan(1024, 900).tile == 0
    assert r.plan(3000, 2000, Options(tile=0)).tile == 0


def test_what_does_not_fit_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(InputError, match="reduce the photograph to about 50 x 50"):
        made(memory=50 * 50 * methods.METHODS["ddrm"].held).plan(100, 100)


def test_an_estimate_counts_what_a_run_counts(image: np.ndarray) -> None:
    r = made()
    told = r.estimate(21, 30, Options(steps=6, samples=2))
    assert told.evaluations == 6
    assert told.seconds > 0


@pytest.mark.parametrize("shape", [(1, 300), (300, 1)])
def test_the_estimate_of_a_narrow_photograph_is_that_of_what_is_worked_on(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is continued to the method's least side: priced by its own pixels it would take no time at all."""
    r = made()
    r.method = replace(r.method, least=64)
    clock = iter(range(10_000))
    monkeypatch.setattr("unveil.zeroshot_restorer.time.perf_counter", lambda: float(next(clock)))
    height, width = (max(side, 64) for side in shape)
    narrow, wide = r.estimate(*shape, Options(steps=6)), r.estimate(height, width, Options(steps=6))
    assert narrow.seconds == pytest.approx(wide.seconds)


def test_a_small_photograph_is_continued_by_reflection(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def restore(prior: Any, y: Tensor, noise: Any, settings: Any, callback: Any) -> Tensor:
        seen.append(tuple(y.shape))
        return y

    monkeypatch.setattr(methods.Method, "call", lambda self: restore)
    r = ZeroShotRestorer(Shrink(), "ldrps", {})  # type: ignore[arg-type]
    out = r.restore(image)
    assert seen == [(1, 3, 64, 64)]
    np.testing.assert_allclose(out.image, image, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"task": "dehaze"}, "DDRM has no 'task'"), ({"oprator": "grey"}, "did you mean operator")],
)
def test_options_that_a_method_does_not_have(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        made(**settings)


def test_options_of_trained_models_are_refused() -> None:
    with pytest.raises(InputError, match="no fidelity"):
        made().resolve(Options(fidelity=1.0))
    with pytest.raises(InputError, match="take samples=8 in place of uncertainty"):
        made().resolve(Options(uncertainty=True))


def test_a_text_is_refused_once_and_not_per_file() -> None:
    r = ZeroShotRestorer(Shrink(), "ldrps", {"prompt": "a street"})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not steered"):
        r.resolve(Options())


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_of_the_table_is_there_and_takes_steps(name: str) -> None:
    method = methods.find(name)
    assert callable(method.call())
    assert "steps" in method.takes()
    assert method.prior in (methods.PIXELS, methods.LATENTS)


def test_unknown_methods_are_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean diffpir"):
        loading.load(method="difpir")
    with pytest.raises(InputError, match="did you mean ddrm"):
        methods.find("drm")


def test_settings_of_zero_shot_methods_need_one() -> None:
    with pytest.raises(InputError, match="only zero-shot methods take operator"):
        loading.load(operator="grey")


def test_a_prior_that_is_nowhere() -> None:
    with pytest.raises(ModelError, match="no prior named 'nowhere'"):
        loading.load("nowhere", method="ddrm")


def test_trained_models_come_through_the_same_door() -> None:
    assert isinstance(loading.load(device="cpu"), Restorer)


def test_upzeroir_is_given_its_judge() -> None:
    extras = loading._extras("upzeroir")
    assert 0 < extras["judge"](torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))) < 1
    assert loading._extras("ddrm") == {}


def test_protocols_are_plain_values() -> None:
    r = ZeroShotRestorer(Shrink(), "ldrps", {"vgg": None})  # type: ignore[arg-type]
    told = r.protocol(Options(seed=3))
    assert told["method"] == "ldrps"
    assert told["model"] == "shrink"
    assert json.loads(json.dumps(told)) == told
    assert told["seed"] == 3


@pytest.mark.parametrize("name", methods.METHODS)
def test_on_the_priors_that_ship_a_method_runs_as_it_was_measured(name: str) -> None:
    """benchmarks/results/zeroshot_quality.json holds the settings of the table's rows."""
    rows = json.loads(RESULT.read_text())["sets"]["tao256/Kodak24"]
    run = next(row["run"] for row in rows.values() if row["run"].get("method") == name)
    method = methods.find(name)
    assert method.quick == {k: v for k, v in run.items() if k in method.quick}
    assert run["steps"] == method.quick["steps"]
    quick = loading.load(method=name, device="cpu").resolve(Options())
    assert quick.steps == run["steps"]
    assert loading.load(method=name, device="cpu").resolve(Options(steps=7)).steps == 7


def test_a_protocol_s_own_settings_are_not_made_quick() -> None:
    recorded = loading.load(method="ldrps", device="cpu", rounds=None, steps=50, crop=128).resolve(Options())
    assert (recorded.rounds, recorded.steps, recorded.crop) == (None, 50, 128)


@pytest.mark.parametrize("name", ["dps", "gdp"])
def test_a_noise_that_would_do_nothing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="leave noise out, or take DiffPIR"):
        made(name, operator="identity", noise=0.1)


def test_files_may_be_given_as_text(tmp_path: Any) -> None:
    settings = methods.find("upzeroir").configured({"arniqa": str(tmp_path), "vgg": "vgg16.pth"})
    assert (settings.arniqa, settings.vgg) == (tmp_path, Path("vgg16.pth"))
    for name, given in (("upzeroir", {"arniqa": str(tmp_path)}), ("ldrps", {"vgg": str(tmp_path / "no.pth")})):
        r = ZeroShotRestorer(Shrink(), name, {"steps": 2, "width": 6, **given})  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=r"ARNIQA\.safetensors|no VGG-16 weights"):
            r.restore(np.zeros((64, 64, 3), np.float32) + 0.5)


def test_a_device_too_small_for_the_photograph_is_named(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Shrink, "denoise", full)
    with pytest.raises(InputError, match="the memory of cpu ran out over 30 x 21 pixels"):
        made().restore(image)


def test_calls_on_other_threads_do_not_hear_each_others_notes(image: np.ndarray) -> None:
    together = threading.Barrier(3)

    class Talking(Shrink):
        def denoise(self, z_t: Tensor, t: int, condition: Any = None, guidance: float = 1.0) -> Tensor:
            together.wait(10)
            note(f"said by {self.name}")
            return super().denoise(z_t, t, condition, guidance)

    def notes(name: str) -> tuple[str, ...]:
        prior = Talking()
        prior.name = name
        settings = {"operator": "identity", "noise": 0.1}
        return ZeroShotRestorer(prior, "ddrm", settings).restore(image, steps=3).notes  # type: ignore[arg-type]

    before = list(warnings.filters)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(notes, "abc")) == [(f"said by {name}",) for name in "abc"]
    assert list(warnings.filters) == before


PUBLISHED = {
    "ldrps": {"steps": 450, "rounds": None, "crop": 0, "trust": 0.0, "width": 64, "original": True, "inner": 1},
    "upzeroir": {"steps": 1000, "rounds": 2, "guidance": 4000.0, "trust": 0.0, "first": "identity", "width": 64},
    "gdp": {"steps": 1000, "weight": None},
    "tao": {"steps": 1000, "trust": 0.0, "first": "random", "inner": None, "crop": 0, "width": 64},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_preset_of_a_paper_is_what_it_publishes_on_any_prior(name: str) -> None:
    settings = loading.load(method=name, device="cpu", preset="paper").resolve(Options())
    assert {key: getattr(settings, key) for key in PUBLISHED[name]} == PUBLISHED[name]
    more: dict[str, Any] = {} if name == "gdp" else {"width": 8}
    other = loading.load(method=name, device="cpu", preset="paper", **more)
    assert other.resolve(Options(steps=3)).steps == 3
    assert name == "gdp" or other.resolve(Options()).width == 8
    if name == "ldrps":
        from unveil.zeroshot.ldrps import published

        assert settings == published()
    quick = loading.load(method=name, device="cpu", preset="quick").resolve(Options())
    assert quick == loading.load(method=name, device="cpu").resolve(Options())


def test_files_of_the_papers_may_be_text(tmp_path: Path) -> None:
    method = methods.find("upzeroir")
    made = method.configured({"vgg": str(tmp_path / "vgg.pth"), "arniqa": str(tmp_path)})
    assert (made.vgg, made.arniqa) == (tmp_path / "vgg.pth", tmp_path)
    with pytest.raises(InputError, match="unknown preset 'papper'; did you mean paper"):
        method.preset("papper")
    with pytest.raises(InputError, match="DiffPIR has no preset paper"):
        loading.load(method="diffpir", preset="paper")


def test_settings_beside_options_count_and_unknown_ones_are_told(image: np.ndarray) -> None:
    both = made().restore(image, Options(seed=1, steps=2), seed=5)
    assert both.seed == both.protocol["seed"] == 5
    assert np.array_equal(both.image, made().restore(image, seed=5, steps=2).image)
    with pytest.raises(InputError, match="no option is called 'sed'; did you mean seed"):
        made().restore(image, sed=1)
    with pytest.raises(InputError, match="DDRM has no generator"):
        made().restore(image, generator="philox4x64")


@pytest.mark.parametrize("method", ["ddrm", "diffpir", "dps", "upzeroir", "ldrps", "tao"])
def test_a_zero_shot_protocol_gives_the_same_pixels_again(image: np.ndarray, method: str) -> None:
    out = loading.restore(image, method=method, steps=2, seed=4)
    assert np.array_equal(loading.restore(image, **out.protocol).image, out.image)


def test_what_two_kinds_of_options_call_alike_goes_to_the_method(image: np.ndarray) -> None:
    assert loading.restore(image, method="upzeroir", steps=2, keep="last").protocol["keep"] == "last"


def test_an_enlarged_photograph_is_still_that_photograph(image: np.ndarray, tmp_path: Path) -> None:
    """EXIF, depth and alpha stay, and what stands beside the result is the photograph and not the result."""
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    pixels = np.rint(255 * image).astype(np.uint8)
    alpha = np.tile(np.linspace(0, 255, image.shape[1], dtype=np.uint8), (image.shape[0], 1))
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "a.png", exif=exif.tobytes())
    out = made(operator="downsample:factor=2", noise=0.05).restore(tmp_path / "a.png", steps=2)
    assert out.source is not None
    assert out.source.pixels.shape == out.image.shape
    assert not np.array_equal(out.source.pixels, out.image)
    np.testing.assert_allclose(out.source.pixels.mean((0, 1)), image.mean((0, 1)), atol=0.01)
    out.save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as again:
        assert (again.size, again.mode, again.getexif()[0x010F]) == ((60, 42), "RGBA", "Acme")
        np.testing.assert_allclose(np.asarray(again)[20, ::2, 3], alpha[0], atol=8)


@pytest.mark.parametrize(("operator", "mode"), [("grey", "RGB"), ("identity", "L")])
def test_a_grey_file_has_colours_where_they_were_asked_for(operator: str, mode: str, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)).save(tmp_path / "g.png")
    out = made("pigdm", operator=operator, noise=0.1).restore(tmp_path / "g.png", steps=3)
    out.save(tmp_path / "h.png")
    with Image.open(tmp_path / "h.png") as again:
        assert again.mode == mode


def test_a_mask_of_the_photograph_s_size_is_priced_too(tmp_path: Path) -> None:
    Image.fromarray(np.full((300, 400), 255, np.uint8)).save(tmp_path / "holes.png")
    r = made(operator=f"mask:file={tmp_path / 'holes.png'}", noise=0.1, memory=1 << 33)
    assert r.estimate(300, 400, Options(steps=5)).evaluations == 5


def test_no_captioner_is_asked_for_a_prior_that_reads_no_text(
    image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unveil.zeroshot.captions.caption", lambda *given: pytest.fail("the photograph was sent away"))
    with pytest.raises(InputError, match="reads no text, which a captioner writes; leave the captioner out"):
        loading.restore(image, method="ldrps", captioner="http://127.0.0.1:9/v1")


def test_no_captioner_is_asked_about_the_crop_that_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.zeroshot.captions.caption", lambda *given: pytest.fail("asked about grey"))
    monkeypatch.setattr(Shrink, "condition", lambda *given: None)
    with contextlib.suppress(InputError):
        made("ldrps", captioner="http://127.0.0.1:9/v1", steps=3).estimate(64, 64)


def test_several_images_are_restored_each_as_alone(image: np.ndarray) -> None:
    restorer = ZeroShotRestorer(Shrink(), "ddrm", {"operator": "identity"})  # type: ignore[arg-type]
    both = restorer.restore_batch([image, image[::-1]], steps=2, seed=4)
    for out, alone in zip(both, (image, image[::-1]), strict=True):
        assert np.array_equal(out.image, restorer.restore(alone, steps=2, seed=4).image)
    with pytest.raises(InputError, match="restore_batch takes several images, not one"):
        restorer.restore_batch(image)


def test_a_model_that_is_no_prior_is_said_to_be_none() -> None:
    with pytest.raises(ModelError, match="general restores photographs by itself"):
        loading.load("general", method="ddrm", operator="identity")


def test_what_a_method_takes_is_said_without_what_it_would_refuse() -> None:
    with pytest.raises(InputError, match="DPS has no 'rounds'; it takes operator, steps, zeta"):
        loading.load("small-pixel", method="dps", rounds=2)
