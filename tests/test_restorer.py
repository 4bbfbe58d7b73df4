from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

import unveil
from unveil import photo
from unveil.errors import Cancelled, InputError, ModelError
from unveil.models.spec import Defaults
from unveil.photo import metadata
from unveil.restorer import Options, Restoration, Restorer, as_photo
from unveil.testing import tiny_experts, tiny_model


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(tiny_model(), device="cpu")


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def test_same_seed_same_pixels_and_draws_do_not_depend_on_their_number(restorer: Restorer) -> None:
    y = picture()
    three = restorer.restore(y, samples=3, seed=5)
    assert np.array_equal(three.samples, restorer.restore(y, samples=3, seed=5).samples)
    assert np.array_equal(three.samples[0], restorer.restore(y, seed=5).samples[0])
    assert not np.array_equal(three.samples[0], three.samples[1])
    assert not np.array_equal(three.samples[0], restorer.restore(y, seed=6).samples[0])


def test_mean_and_std_are_those_of_the_draws(restorer: Restorer) -> None:
    out = restorer.restore(picture(), samples=4)
    assert np.allclose(out.mean, out.samples.mean(0), atol=1e-6)
    assert out.std is not None
    assert np.allclose(out.std, out.samples.std(0, ddof=1), atol=1e-6)
    assert restorer.restore(picture()).std is None


def test_full_fidelity_has_no_spread(restorer: Restorer) -> None:
    out = restorer.restore(picture(), samples=2, fidelity=1.0)
    assert np.array_equal(out.samples[0], out.samples[1])


def test_strength_blends_the_residual(restorer: Restorer) -> None:
    y = picture()
    full = restorer.restore(y).image
    assert np.array_equal(restorer.restore(y, strength=0.0).image, y)
    assert np.allclose(restorer.restore(y, strength=0.25).image, y + 0.25 * (full - y), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 3), (33, 65)])
def test_any_size(restorer: Restorer, size: tuple[int, int]) -> None:
    out = restorer.restore(picture(*size))
    assert out.image.shape == (*size, 3)
    assert np.isfinite(out.image).all()


def test_all_kinds_of_input_agree(restorer: Restorer, tmp_path: Path) -> None:
    eight = (picture() * 255).round().astype(np.uint8)
    Image.fromarray(eight).save(tmp_path / "p.png")
    expected = restorer.restore(eight).image
    tensor = torch.from_numpy(eight.astype(np.float32) / np.float32(255)).permute(2, 0, 1)
    for given in (
        tmp_path / "p.png",
        str(tmp_path / "p.png"),
        Image.fromarray(eight),
        eight.astype(np.float32) / 255,
        tensor,
        tensor[None],
    ):
        assert np.allclose(restorer.restore(given).image, expected, atol=1e-5)
    sixteen = eight.astype(np.uint16) * 257
    assert np.allclose(restorer.restore(sixteen).image, expected, atol=1e-5)


def test_callback_sees_every_evaluation_and_can_cancel(restorer: Restorer) -> None:
    seen: list[tuple[int, int]] = []
    restorer.restore(picture(), samples=2, callback=lambda p: seen.append((p.index, p.steps)))
    assert seen == [(i, 5) for i in range(5)] * 2
    with pytest.raises(Cancelled):
        restorer.restore(picture(), callback=lambda p: p.index == 2)


def test_callback_sees_the_only_evaluation_of_a_regression_network() -> None:
    model = tiny_model()
    restorer = Restorer(replace(model, spec=replace(model.spec, sampler="one_shot")), device="cpu")
    seen: list[tuple[int, int]] = []
    out = restorer.restore(
        picture(), callback=lambda p: bool(p.x0_hat.zero_().any()) or seen.append((p.index, p.steps))
    )
    assert seen == [(0, 1)]
    assert np.array_equal(out.image, restorer.restore(picture()).image)
    with pytest.raises(Cancelled, match="after step 1 of 1"):
        restorer.restore(picture(), callback=lambda p: True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be between 1 and 5"),
        ({"steps": 6}, "steps must be between 1 and 5"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"fidelity": 1.5}, "fidelity"),
        ({"strength": -0.1}, "strength"),
        ({"solver": "euler"}, "ancestral"),
        ({"grid": "square"}, "grid"),
        ({"resolution": "up"}, "coarse_to_fine"),
    ],
)
def test_settings_out_of_range(restorer: Restorer, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        restorer.restore(picture(), **settings)


@pytest.mark.parametrize("bad", [torch.zeros(2, 3, 8, 8), torch.zeros(8, 8), object(), 3.0])
def test_what_is_no_image(restorer: Restorer, bad: object) -> None:
    with pytest.raises(InputError):
        restorer.restore(bad)


def test_devices_and_dtypes_that_are_not_there() -> None:
    with pytest.raises(InputError, match="device"):
        Restorer(tiny_model(), device="abacus")
    with pytest.raises(InputError, match="dtype"):
        Restorer(tiny_model(), device="cpu", dtype="int8")


def test_protocol_says_how_to_get_the_same_pixels(restorer: Restorer) -> None:
    y = picture()
    out = restorer.restore(y, steps=3, seed=9, solver="2m", fidelity=0.5)
    kept = {
        k: out.protocol[k] for k in ("grid", "steps", "solver", "fidelity", "resolution", "strength", "samples", "seed")
    }
    assert np.array_equal(restorer.restore(y, **kept).image, out.image)


def test_low_stage_decides_the_colour_of_a_large_photograph() -> None:
    restorer = Restorer(tiny_model(low=16), device="cpu")
    sizes: list[tuple[int, ...]] = []
    restorer.restore(picture(64, 48), callback=lambda p: sizes.append(tuple(p.x0_hat.shape[-2:])))
    assert sizes == [(16, 12)] * 3 + [(64, 48)] * 2


def test_settings_beside_options_are_not_dropped(restorer: Restorer) -> None:
    y = picture()
    both = restorer.restore(y, Options(steps=2), samples=2, seed=9)
    assert both.protocol["steps"] == 2
    assert len(both.samples) == 2
    assert np.array_equal(both.samples, restorer.restore(y, steps=2, samples=2, seed=9).samples)
    with pytest.raises(InputError, match="'sample'; did you mean samples"):
        restorer.restore(y, sample=2)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"samples": "2"}, "samples must be a whole number"), ({"tile": True}, "tile must be"), ({"seed": 1.5}, "seed must be"),
     ({"fidelity": "1"}, "fidelity must be a number"), ({"steps": 2.0}, "steps must be")],
)  # fmt: skip
def test_values_of_another_type_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Options(**given)  # type: ignore[arg-type]


def test_low_precision_tensors_and_batches_are_taken(restorer: Restorer) -> None:
    x = torch.from_numpy(picture().transpose(2, 0, 1))[None]
    low = restorer.restore(x.bfloat16()).image
    assert np.array_equal(low, restorer.restore(x.bfloat16().float()).image)
    two = torch.cat([x, 1 - x])
    out = restorer.restore_batch(two, seed=3)
    assert [np.array_equal(o.image, restorer.restore(one, seed=3).image) for o, one in zip(out, two, strict=True)] == [
        True,
        True,
    ]
    with pytest.raises(InputError, match="restore_batch"):
        restorer.restore(two)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16", "CMYK"])
def test_a_pil_image_is_read_as_its_file_would_be(restorer: Restorer, tmp_path: Path, mode: str) -> None:
    pixels = (picture(24, 32) * 255).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray((picture(24, 32)[..., 0] * 65535).astype(np.uint16))
    else:
        image = Image.fromarray(pixels).convert(mode)
    # Uncompressed CMYK TIFF with an orientation is read wrong by Pillow 12.3 itself.
    turned = mode != "CMYK"
    image.getexif()[0x0112] = 6 if turned else 1
    kept = {"exif": image.getexif()}
    if mode in ("RGB", "RGBA"):
        kept["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path, **kept)
    with Image.open(path) as opened:
        opened.load()
        given, named = as_photo(opened), as_photo(path)
    assert np.array_equal(given.pixels, named.pixels)
    assert (given.depth, given.grey, given.icc, given.orientation) == (
        named.depth,
        named.grey,
        named.icc,
        named.orientation,
    )
    assert (given.alpha is None) == (named.alpha is None)
    if given.alpha is not None:
        assert np.array_equal(given.alpha, named.alpha)
    assert given.pixels.shape[:2] == ((32, 24) if turned else (24, 32))


def test_a_deep_pil_image_keeps_its_light(tmp_path: Path) -> None:
    deep = (picture(24, 32)[..., 0] * 65535).astype(np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5\n32 24\n65535\n" + deep.astype(">u2").tobytes())
    with Image.open(tmp_path / "a.pgm") as opened:
        assert opened.mode == "I"
        given = as_photo(opened)
    assert (given.depth, given.grey) == (16, True)
    assert np.array_equal(given.pixels, as_photo(tmp_path / "a.pgm").pixels)
    with Image.open(tmp_path / "a.pgm") as opened:
        assert np.array_equal(as_photo(opened.copy()).pixels, given.pixels)  # without a file's format, too
    with pytest.raises(InputError, match="more than 16 bits"):
        as_photo(Image.fromarray(deep.astype(np.int32) * 2))


def test_a_dark_deep_pil_image_stays_dark(tmp_path: Path) -> None:
    """It came out 257 times as bright as the same file read by its path."""
    dark = (picture(24, 32)[..., 0] * 255).astype(np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5\n32 24\n65535\n" + dark.astype(">u2").tobytes())
    with Image.open(tmp_path / "a.pgm") as opened:
        assert np.array_equal(as_photo(opened).pixels, as_photo(tmp_path / "a.pgm").pixels)
        with pytest.raises(InputError, match=r"may have 8 or 16 bits; give image.convert\('L'\) where white is 255"):
            as_photo(opened.copy())
    tifffile.imwrite(tmp_path / "a.tif", dark.astype(np.uint32) * 9)
    with Image.open(tmp_path / "a.tif") as opened, pytest.raises(InputError, match="from a TIFF file does not say"):
        as_photo(opened)


def test_an_empty_pil_image_is_called_empty() -> None:
    with pytest.raises(InputError, match="a PIL image of 0 x 5 pixels is empty"):
        as_photo(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.0, 1.0000001, r"spans \[0.0, 1.0000001\]; clip it: np.clip"),
        (-0.01, 1.0, r"spans \[-0.01, 1.0\]; clip it"),
        (0.0, 254.0, r"spans \[0.0, 254.0\]; divide 8-bit values by 255"),
    ],
)
def test_floats_out_of_range_are_told_by_how_much(low: float, high: float, told: str) -> None:
    values = np.full((4, 5, 3), 0.5, np.float32)
    values[0, 0, 0], values[0, 0, 1] = low, high
    with pytest.raises(InputError, match=told):
        as_photo(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_that_become_8_bits_are_said(tmp_path: Path, dtype: type) -> None:
    values = picture(24, 32).astype(dtype)
    out = Restorer(tiny_model(), "cpu", "fp32").restore(values, steps=1)
    assert out.save(tmp_path / "a.tif") == ("an array of floats is written with 8 bits; for 16, give one of uint16",)
    assert photo.read(tmp_path / "a.tif").depth == 8
    assert out.save(tmp_path / "a.jpg") == ()
    sixteen = Restorer(tiny_model(), "cpu", "fp32").restore((values * 65535).astype(np.uint16), steps=1)
    assert sixteen.save(tmp_path / "b.tif") == ()
    assert photo.read(tmp_path / "b.tif").depth == 16


@pytest.mark.parametrize(("mode", "same"), [("PA", "RGBA"), ("RGBa", "RGBA"), ("La", "LA"), ("RGBX", "RGB")])
def test_a_pil_image_of_a_mode_that_no_file_holds_is_read(mode: str, same: str) -> None:
    image = Image.fromarray((picture(24, 32) * 255).astype(np.uint8)).convert("P" if mode == "PA" else same)
    given, named = as_photo(image.convert(mode)), as_photo(image.convert(mode).convert(same))
    assert np.array_equal(given.pixels, named.pixels)
    assert (given.alpha is None) == (named.alpha is None) == (mode == "RGBX")


def test_a_pil_image_that_pillow_cannot_load_is_refused(tmp_path: Path) -> None:
    Image.fromarray((picture(64, 64) * 255).astype(np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:800])
    with Image.open(tmp_path / "cut.jpg") as cut, pytest.raises(InputError, match="truncated"):
        as_photo(cut)
    with Image.open(tmp_path / "a.jpg") as late:
        pass
    with pytest.raises(InputError, match="closed"):
        as_photo(late)


def test_bytes_and_paths_of_every_type_are_read_and_written(tmp_path: Path) -> None:
    class Entry(os.PathLike):
        def __fspath__(self) -> str:
            return str(tmp_path / "a.png")

    eight = (picture(8, 8) * 255).astype(np.uint8)
    notes = Restoration((eight / np.float32(255))[None], 0.0, 0.0, 0, {}, as_photo(eight)).save(Entry())
    assert notes == ()
    data = (tmp_path / "a.png").read_bytes()
    for given in (Entry(), PurePath(Entry()), data, bytearray(data), memoryview(data), eight[..., 0].view(np.matrix)):
        assert as_photo(given).pixels.shape == (8, 8, 3)
    assert as_photo(Entry()).source == str(tmp_path / "a.png")


@pytest.mark.parametrize("where", [5, None, b"a.png", io.StringIO()])
def test_a_place_that_takes_no_photograph_is_refused(where: object) -> None:
    eight = (picture(8, 8) * 255).astype(np.uint8)
    with pytest.raises(InputError, match="a path or a stream of bytes"):
        Restoration((eight / np.float32(255))[None], 0.0, 0.0, 0, {}, as_photo(eight)).save(where)  # type: ignore[arg-type]


def test_tensors_without_values_are_refused_and_sparse_ones_read() -> None:
    x = torch.from_numpy(picture(8, 8).transpose(2, 0, 1).copy())
    assert np.array_equal(as_photo(x.to_sparse()).pixels, as_photo(x).pixels)
    with pytest.raises(InputError, match="meta"):
        as_photo(x.to("meta"))


def test_every_kind_of_tensor_and_array_is_read_or_told() -> None:
    x = torch.from_numpy(picture(8, 8).transpose(2, 0, 1).copy())
    given = as_photo(x).pixels
    assert np.array_equal(as_photo(torch._neg_view(-x)).pixels, given)
    assert np.abs(as_photo(x.to(torch.float8_e4m3fn)).pixels - given).max() < 0.05
    with pytest.raises(InputError, match="bits8 cannot be read; give one of float32"):
        as_photo((x * 255).to(torch.uint8).view(torch.bits8))
    with pytest.raises(InputError, match="must be uint8, uint16 or float, got complex64"):
        as_photo(x.to(torch.complex64).conj())
    deep = np.rint(picture(8, 8) * 65535).astype("<u2")
    assert np.array_equal(as_photo(deep.astype(">u2")).pixels, as_photo(deep).pixels)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_pil_image_keeps_its_xmp_and_its_resolution(mode: str, tmp_path: Path) -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
        b'GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="32"/></rdf:RDF></x:xmpmeta>'
    )
    image = Image.fromarray((picture(16, 32) * 255).astype(np.uint8)).convert(mode)
    image.save(tmp_path / "a.jpg", xmp=packet, dpi=(300, 200))
    with Image.open(tmp_path / "a.jpg") as opened:
        seen, same = as_photo(opened), as_photo(tmp_path / "a.jpg")
    assert (seen.xmp, seen.dpi) == (same.xmp, same.dpi) == (packet, (300, 200))
    assert metadata.goes_round(seen.xmp, seen.width)
    assert as_photo(image).xmp is None


@pytest.mark.parametrize(
    "one",
    ["a.png", b"a", Path("a.png"), io.BytesIO(b"a"), np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8)), torch.zeros(3, 8, 8),
     Image.new("RGB", (8, 8)), None],
)  # fmt: skip
def test_a_batch_is_not_one_image(restorer: Restorer, one: object) -> None:
    with pytest.raises(InputError, match="restore_batch takes several images"):
        restorer.restore_batch(one)


def test_a_protocol_has_plain_values_whatever_was_given(restorer: Restorer) -> None:
    given = {
        "seed": np.int64(3),
        "samples": np.uint8(2),
        "steps": np.int32(2),
        "strength": np.float32(0.5),
        "tile": np.int64(64),
    }
    out = restorer.restore(picture(), **given, self_ensemble=np.int64(2))
    assert json.loads(json.dumps(out.protocol)) == out.protocol
    assert type(out.seed) is int
    with pytest.raises(InputError, match="strength must be a number"):
        Options(strength=None)  # type: ignore[arg-type]


def test_names_that_are_given_once_are_kept() -> None:
    assert Options(fix=(kind for kind in ["noise", "blur"])).fix == ("noise", "blur")
    assert Options(keep=iter(["light"])).keep == ("light",)


def test_a_protocol_is_run_again_exactly(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    from unveil import loading

    y = picture()
    out = restorer.restore(y, steps=3, samples=2, seed=11, fidelity=0.5, solver="ddim", strength=0.7, tile=32)
    monkeypatch.setattr(
        loading.restorer, "load", lambda name, device, dtype, engine: Restorer(tiny_model(), device, dtype)
    )
    again = loading.restore(y, **out.protocol)
    assert np.array_equal(again.samples, out.samples)
    assert again.protocol == out.protocol
    other = out.protocol | {"sha256": "0123456789abcdef"}
    with pytest.raises(ModelError, match="other pixels"):
        loading.restore(y, **other)
    monkeypatch.undo()
    with pytest.raises(
        ModelError, match=r"tiny.*a protocol names a model and not its file: restore\(image, \*\*\(protocol"
    ):
        loading.restore(y, **other)


def test_the_spread_is_computed_without_copies_in_double(restorer: Restorer) -> None:
    import tracemalloc

    from unveil.restorer import Restoration

    samples = np.random.default_rng(0).random((8, 256, 256, 3), dtype=np.float32)
    out = Restoration(samples, 0, 0, 0, {})
    tracemalloc.start()
    std, mean = out.std, out.mean
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * samples.nbytes
    assert std is not None
    assert np.allclose(std, samples.std(0, ddof=1, dtype=np.float64), atol=1e-7)
    assert np.allclose(mean, samples.mean(0, dtype=np.float64), atol=1e-7)


@pytest.mark.parametrize(
    ("avx512", "amx", "kind"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_a_processor_that_computes_in_bf16_does(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, kind: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    made = Restorer(tiny_model(), device="cpu")
    assert made.protocol(Options())["dtype"] == kind
    assert Restorer(tiny_model(), device="cpu", dtype="fp32").protocol(Options())["dtype"] == "fp32"


def test_bf16_stays_near_fp32(restorer: Restorer) -> None:
    y = picture()
    low, full = (Restorer(tiny_model(), device="cpu", dtype=kind).restore(y).image for kind in ("bf16", "fp32"))
    assert 0 < np.abs(low - full).max() < 4 / 255


@pytest.fixture(scope="module")
def mean_reverting() -> Restorer:
    """A tiny random model on IR-SDE's path, eight steps long."""
    model = tiny_model()
    schedule = "mean_reverting(cosine, 8, 0.005, 50)"
    defaults = Defaults("mean_reverting", 8, resolution="off")
    return Restorer(replace(model, spec=replace(model.spec, schedule=schedule, defaults=defaults)), "cpu")


@pytest.mark.parametrize("solver", ["sde", "ode"])
def test_the_solvers_of_ir_sde_are_reached(mean_reverting: Restorer, solver: str) -> None:
    made = mean_reverting.restore(picture(), solver=solver, seed=3)
    assert made.protocol["solver"] == solver
    assert np.isfinite(made.image).all()
    assert np.array_equal(made.image, mean_reverting.restore(picture(), solver=solver, seed=3).image)
    other = mean_reverting.restore(picture(), solver=solver, seed=4).image
    assert not np.array_equal(made.image, other), "both start from noise"
    assert not np.array_equal(made.image, mean_reverting.restore(picture(), seed=3).image), (
        "they are no posterior sampling"
    )


def test_the_solvers_of_ir_sde_take_all_steps_unless_told(mean_reverting: Restorer) -> None:
    """Few Euler steps destroy a photograph, and the model's own default is few."""
    spec = mean_reverting.model.spec
    few = Restorer(replace(mean_reverting.model, spec=replace(spec, defaults=replace(spec.defaults, steps=2))), "cpu")
    steps = {
        solver: few.resolve(Options(solver=solver)).process.steps for solver in ("sde", "ode", "ddim", "ancestral")
    }
    assert steps == {"sde": 8, "ode": 8, "ddim": 2, "ancestral": 2}
    assert few.resolve(Options(solver="sde", steps=4)).process.steps == 4


@pytest.mark.parametrize("value", ["no", "yes", 2, None])
def test_uncertainty_is_true_or_false(value: object) -> None:
    with pytest.raises(InputError, match="uncertainty must be True or False"):
        Options(uncertainty=value)  # type: ignore[arg-type]


def test_the_solvers_of_ir_sde_are_refused_by_other_paths() -> None:
    with pytest.raises(InputError, match="sde and ode need a path whose drift is free of the clean image"):
        Restorer(tiny_model(), "cpu").restore(picture(), solver="ode")
    with pytest.raises(InputError, match="such as wild"):  # before a folder is begun, not once for each photograph
        Restorer(tiny_model(), "cpu").resolve(Options(solver="ode"))
    with pytest.raises(InputError, match="unknown solver 'euler'; known are ancestral, ddim, renoise, 2m, sde, ode"):
        Restorer(tiny_model(), "cpu").restore(picture(), solver="euler")


def test_what_decides_on_light_is_the_mean_of_views_of_the_photograph() -> None:
    model = tiny_experts()
    defaults = model.spec.defaults
    alone, viewed = (
        Restorer(replace(model, spec=replace(model.spec, defaults=replace(defaults, views=n))), "cpu", "fp32")
        for n in (1, 4)
    )
    y = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(4)) * 2 - 1
    x_t, path = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)), model.spec.process()
    by_light = [
        viewed.model.denoiser(path, 1.0)(x.flip(-2), z.flip(-2), path.steps)
        for x, z in ((x_t, y), (x_t.flip(-2), y.flip(-2)))
    ]
    assert torch.allclose(by_light[0], by_light[1].flip(-2), atol=1e-6)
    detail = [r.model.denoiser(path, 1.0)(x_t, y, 1) for r in (alone, viewed)]
    assert torch.equal(*detail)
    image = picture(40, 56)
    assert not np.array_equal(alone.restore(image, fix="haze").image, viewed.restore(image, fix="haze").image)
    # Views of an ensemble of all of them are not averaged once more.
    both = [r.restore(image, fix="haze", self_ensemble=4).image for r in (alone, viewed)]
    assert np.array_equal(*both)
    for how in ({"fix": "noise"}, {"fix": "haze", "resolution": "off"}):
        assert np.array_equal(alone.restore(image, **how).image, viewed.restore(image, **how).image)


def test_a_self_ensemble_turns_with_the_photograph() -> None:
    """With all eight maps the restoration of a turned photograph is the turned restoration, coarse steps included; and it is recorded."""
    restorer, image = Restorer(tiny_model(), "cpu"), np.random.default_rng(0).random((48, 64, 3), dtype=np.float32)
    turned = np.ascontiguousarray(np.rot90(image))
    plain, other = (restorer.restore(x, fidelity=1.0).image for x in (image, turned))
    assert np.abs(np.rot90(plain) - other).max() > 1e-3
    out, other = (restorer.restore(x, fidelity=1.0, self_ensemble=8) for x in (image, turned))
    assert np.allclose(np.rot90(out.image), other.image, atol=1e-5)
    assert out.protocol["self_ensemble"] == 8
    with pytest.raises(InputError, match="self_ensemble must be 1, 2, 4 or 8, got 3"):
        restorer.restore(image, self_ensemble=3)


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_what_needs_nothing_is_saved_as_the_file_that_it_was(restorer: Restorer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    own = {}
    for name, orientation in (("a.jpg", 1), ("turned.jpg", 6), ("a.png", 1)):
        Image.fromarray(pixels).save(tmp_path / name, quality=40, exif=turned_by(orientation))
        own[name] = (tmp_path / name).read_bytes()
    for given in (tmp_path / "a.jpg", own["a.jpg"]):
        result = restorer.restore(given, strength=0.0, steps=2)
        assert result.source is not None
        result.save(tmp_path / "out.jpg")
        stream = io.BytesIO()
        result.save(stream)
        assert (tmp_path / "out.jpg").read_bytes() == stream.getvalue() == own["a.jpg"]
        result.save(tmp_path / "out.jpg", strip=True)
        result.save(tmp_path / "out.png")
        assert (tmp_path / "out.jpg").read_bytes() != own["a.jpg"]
        assert np.array_equal(photo.read(tmp_path / "out.png").pixels, result.source.pixels)
    turned = restorer.restore(tmp_path / "turned.jpg", strength=0.0, steps=2).source
    assert turned is not None
    assert (turned.encoded, photo.read(own["a.png"]).encoded) == (None, None)
    # A photograph with anything replaced is another one.
    assert replace(photo.read(own["a.jpg"]), icc=None).encoded is None
    changed = restorer.restore(tmp_path / "a.jpg", steps=2)
    changed.save(tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").read_bytes() != own["a.jpg"]


def test_metadata_are_cut_out_of_a_jpeg_that_needs_nothing(restorer: Restorer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = turned_by(1)
    exif[0x010F] = "A camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(pixels)
    image.save(
        tmp_path / "a.jpg", quality=40, exif=exif, icc_profile=profile, comment=b"where it was", xmp=b"<x:xmpmeta/>"
    )
    image.save(tmp_path / "bare.jpg", quality=40, icc_profile=profile)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes() + b"behind the picture")
    result = restorer.restore(tmp_path / "a.jpg", strength=0.0, steps=2)
    result.save(tmp_path / "out.jpg", strip=True)
    assert (tmp_path / "out.jpg").read_bytes() == (tmp_path / "bare.jpg").read_bytes()
    assert np.array_equal(photo.read(tmp_path / "out.jpg").pixels, photo.read(tmp_path / "a.jpg").pixels)


def test_a_cmyk_jpeg_that_needs_nothing_keeps_its_inks_without_metadata(restorer: Restorer, tmp_path: Path) -> None:
    inks = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=80, comment=b"where it was")
    restorer.restore(tmp_path / "a.jpg", strength=0.0, steps=2).save(tmp_path / "out.jpg", strip=True)
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "out.jpg") as after:
        assert ("comment" in before.info, "comment" in after.info) == (True, False)
        assert np.array_equal(before, after)


def test_kinds_that_a_model_does_not_fix_are_known_before_a_photograph_is_read() -> None:
    model = tiny_model(conditioned=True)
    some = Restorer(replace(model, spec=replace(model.spec, fixes=("noise",))), "cpu")
    with pytest.raises(InputError, match="does not fix haze, only noise"):
        some.resolve(Options(fix="haze"))
    with pytest.raises(InputError, match=r"run again by unveil.restore\(image, \*\*protocol\)"):
        some.restore(picture(), model="tiny")


@pytest.mark.parametrize("name", [5, 0, b"general", ["general"]])
def test_what_is_no_name_of_a_model_is_said(name: Any) -> None:
    for method in ("learnir", "diffpir"):
        with pytest.raises(ModelError, match="a model is a name on the shelf or a path, not"):
            unveil.load(name, method=method)


@pytest.mark.parametrize("device", ["meta", None])
def test_a_device_that_computes_nothing_is_refused(device: Any) -> None:
    with pytest.raises(InputError, match="cannot be used here"):
        Restorer(tiny_model(), device)


def test_a_plan_for_no_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="cannot tile 100 x 0 pixels"):
        Restorer(tiny_model(), "cpu").plan(0, 100)


def test_the_settings_of_a_batch_are_the_same_for_each_and_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Restorer(tiny_model(), device="cpu")
    seen: list[Any] = []
    monkeypatch.setattr(Restorer, "restore", lambda self, image, options: seen.append(options.fix))
    told.restore_batch([picture(), picture()], fix=iter(["noise"]))
    assert seen == [("noise",), ("noise",)]
    with pytest.raises(InputError, match="no option is called 'sed'; did you mean seed"):
        told.restore_batch([], sed=1)


def test_options_of_another_type_are_refused(restorer: Restorer) -> None:
    with pytest.raises(InputError, match="options must be an Options, got dict; give settings by name"):
        restorer.restore(picture(), {"seed": 1})  # type: ignore[arg-type]
