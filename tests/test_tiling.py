"""Tiles give what the whole photograph gives, whatever their size, order and batches, and mend what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil import tiling
from unveil.errors import InputError, ModelError, UnveilError, UnveilWarning
from unveil.models.footprint import bytes_per_pixel, weight_bytes
from unveil.models.model import Model
from unveil.photo.tiles import Plan, Tile, decide
from unveil.restorer import Options, Restorer
from unveil.testing import tiny_model

MODEL = tiny_model()
RESTORER = Restorer(MODEL, device="cpu")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def planned(height: int, width: int, tile: int, batch: int = 1, reach: int = 44) -> Plan:
    cost = tiling.cost(tile, reach=reach, multiple_of=4, weights=0, per_pixel=100.0)
    return replace(decide(height, width, 1 << 40, cost, tile), batch=batch)


class Shuffled(Plan):
    def tiles(self) -> list[Tile]:
        """Rows of tiles and the tiles in each row, both from the end."""
        return super().tiles()[::-1]


@pytest.mark.parametrize("size", [(1, 400), (301, 7), (258, 300)])
def test_tiled_equals_untiled_where_the_overlap_covers_the_receptive_field(size: tuple[int, int]) -> None:
    y = picture(*size)
    whole, tiled = (RESTORER.restore(y, tile=tile, resolution="off", steps=2) for tile in (0, 256))
    assert RESTORER.plan(*size, Options(tile=256)).tile == 256
    assert (whole.protocol["tile"], tiled.protocol["tile"]) == (0, 256)
    assert len(RESTORER.plan(*size, Options(tile=256)).tiles()) > 1
    assert np.abs(whole.image - tiled.image).max() < 1e-5


def test_tiles_share_twice_the_measured_reach_where_there_is_one() -> None:
    measured = Restorer(replace(MODEL, spec=replace(MODEL.spec, reach=20)), device="cpu")
    overlaps = [r.plan(500, 500, Options(tile=400)).cost.overlap for r in (RESTORER, measured)]
    assert overlaps == [2 * 44 + tiling.BLEND, 2 * 20 + tiling.BLEND]


@pytest.mark.slow
def test_tiled_equals_untiled_to_a_level_with_the_shipped_model() -> None:
    """Its overlap is what was measured and less than its receptive field; a dark photograph is where it looks farthest."""
    from importlib.resources import files

    from PIL import Image

    import unveil

    with Image.open(str(files("unveil") / "examples" / "coffee.jpg")) as image:
        pixels = np.asarray(image.convert("RGB").resize((1080, 720)).crop((0, 160, 1080, 480))) / np.float32(255)
    dark = (pixels**2.2 * np.float32(0.1)) ** np.float32(1 / 2.2)
    restorer = unveil.load("general", device="cpu", dtype="fp32")
    if not restorer.model.spec.reach:
        pytest.skip("the reach of these weights was not measured; their overlap covers the receptive field")
    whole, tiled = (restorer.restore(dark, tile=tile) for tile in (0, 704))
    assert len(restorer.plan(320, 1080, Options(tile=704)).tiles()) > 1
    assert np.abs(whole.image - tiled.image).max() <= 1 / 255


def test_the_low_stage_sees_the_whole_photograph_and_tiles_only_refine() -> None:
    y = picture(300, 280)
    whole, tiled = (RESTORER.restore(y, tile=tile, seed=3) for tile in (0, 256))
    assert np.abs(whole.image - tiled.image).max() < 1e-5


def test_small_tiles_are_close_and_without_a_seam_in_a_flat_area() -> None:
    y = np.full((150, 170, 3), 0.4, np.float32)
    whole, tiled = (RESTORER.restore(y, tile=tile, fidelity=1.0, resolution="off").image for tile in (0, 64))
    assert RESTORER.plan(150, 170, Options(tile=64)).cost.overlap == 16
    assert np.abs(whole - tiled).max() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (130, 3), (97, 161)])
def test_a_constant_stays_constant_under_the_identity(size: tuple[int, int]) -> None:
    y = torch.full((1, 3, *size), 0.3)
    tiled = tiling.Tiled(lambda x_t, y, t: x_t, lambda h, w: planned(h, w, 32))
    assert (tiled(y, y, 1) - 0.3).abs().max() < 1e-6


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_neither_order_nor_batches_change_a_bit(batch: int) -> None:
    state, y = (torch.from_numpy(picture(150, 190, s)).permute(2, 0, 1)[None] for s in (1, 2))
    denoise = MODEL.denoiser(MODEL.spec.process(), 0.0)

    def run(kind: type[Plan], batch: int, together: bool | None = None) -> Tensor:
        def plan_for(h: int, w: int) -> Plan:
            made = planned(h, w, 64, batch)
            return kind(**{f: getattr(made, f) for f in made.__dataclass_fields__})

        return tiling.Tiled(denoise, plan_for, together=together)(state, y, 3)

    expected = run(Plan, 1)
    assert torch.equal(run(Plan, batch), expected)
    assert torch.equal(run(Shuffled, batch), expected)
    assert (run(Shuffled, batch, together=True) - expected).abs().max() < 1e-5


def checked(check: Callable[[Tensor, int], None]) -> Restorer:
    """A restorer that calls `check(y, t)` before every evaluation."""

    class Checked(Model):
        def denoiser(self, process, fidelity, views=None):  # type: ignore[no-untyped-def]
            inner = super().denoiser(process, fidelity, views)

            def denoise(x_t: Tensor, y: Tensor, t: int) -> Tensor:
                check(y, t)
                return inner(x_t, y, t)

            return denoise

    return Restorer(Checked(MODEL.spec, MODEL.predictor, MODEL.head), device="cpu")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("can't allocate memory: 9 bytes")],
)
def test_memory_running_out_halves_the_tile_and_ends_with_the_same_pixels(error: Exception) -> None:
    y = picture(300, 300)

    def check(y: Tensor, t: int) -> None:
        if y.numel() > 3 * 200 * 200:
            raise error

    small = checked(check)
    with pytest.warns(UnveilWarning, match="memory ran out; begun again with tiles of"):
        out = small.restore(y, resolution="off", steps=2, samples=2)
    assert any("memory ran out" in note for note in out.notes)
    assert np.abs(out.image - RESTORER.restore(y, resolution="off", steps=2, samples=2).image).max() < 1e-5
    assert out.protocol["tile"] == "auto:148", "so many pixels asked for would share less with their neighbours"
    again = RESTORER.restore(y, resolution="off", steps=2, samples=2, tile=out.protocol["tile"])
    assert np.array_equal(again.samples, out.samples)


def test_memory_that_ends_late_leaves_one_size_of_tiles_from_the_first_step_on() -> None:
    """What ran before the memory ended is done anew: a protocol names one tile, and gives the same pixels again."""
    y, calls = picture(300, 300), []

    def check(y: Tensor, t: int) -> None:
        calls.append(t)
        if len(calls) == 4:
            raise MemoryError

    late = checked(check)
    with pytest.warns(UnveilWarning, match="begun again"):
        out = late.restore(y, resolution="off", steps=3, samples=2)
    again = RESTORER.restore(y, resolution="off", steps=3, samples=2, tile=out.protocol["tile"])
    assert np.array_equal(again.samples, out.samples)


def test_a_device_whose_memory_ends_elsewhere_is_the_photographs_size_and_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("unveil.draws.sample", full)
    with pytest.raises(InputError, match=r"the memory of cpu ran out over 40 x 30 pixels; .*smaller tile"):
        RESTORER.restore(picture(30, 40))


def test_memory_that_is_never_enough_ends_with_a_reason_and_other_errors_pass() -> None:
    def fails(error: Exception) -> Restorer:
        def check(y: Tensor, t: int) -> None:
            if y.shape[-1] > 64:  # what the plan measures on a small tile is left alone
                raise error

        return checked(check)

    y = picture(300, 300)
    with pytest.warns(UnveilWarning), pytest.raises(UnveilError, match="out of memory even with tiles"):
        fails(MemoryError()).restore(y, resolution="off", steps=1)
    with pytest.raises(RuntimeError, match="ours"):
        fails(RuntimeError("ours")).restore(y, resolution="off", steps=1)


def overflowing(scale: float = 3e6) -> Model:
    """Activations beyond fp16's 65504 in the bright areas, and a network that is sound in fp32."""
    model = tiny_model()
    model.predictor.out.weight.data *= 1 / scale
    model.predictor.out.bias.data *= 1 / scale  # type: ignore[union-attr]
    model.predictor.up[0][-1].conv2.weight.data *= scale  # type: ignore[index, union-attr]
    return replace(model, spec=replace(model.spec, dtypes=("fp32", "fp16")), head=None)


def test_what_overflows_in_low_precision_is_computed_again_in_fp32() -> None:
    y = picture(40, 56)
    fp32 = Restorer(overflowing(), device="cpu", dtype="fp32").restore(y, fidelity=0.0)
    assert fp32.notes == ()
    with pytest.warns(UnveilWarning, match="computed again in fp32"):
        fp16 = Restorer(overflowing(), device="cpu", dtype="fp16").restore(y, fidelity=0.0)
    assert fp16.notes == ("a tile was not finite in low precision; computed again in fp32",)
    assert np.abs(fp16.image - fp32.image).max() < 1e-3


def test_only_the_tile_that_overflowed_is_computed_again() -> None:
    seen: list[int] = []

    def denoise(x_t: Tensor, y: Tensor, t: int) -> Tensor:
        seen.append(len(y))
        low = torch.is_autocast_enabled("cpu")
        return torch.where((y > 0.9) & low, torch.inf, y)

    y = torch.zeros(1, 3, 64, 160)
    y[..., 100:110] = 1
    tiled = tiling.Tiled(denoise, lambda h, w: planned(h, w, 64, batch=9), together=True)
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UnveilWarning):
        out = tiled(y, y, 1)
    assert seen == [3, 2]
    assert (out - y).abs().max() < 1e-6


def test_damaged_weights_are_an_error_and_never_black() -> None:
    model = tiny_model()
    model.predictor.out.bias.data[0] = torch.inf  # type: ignore[index]
    with pytest.raises(ModelError, match="not finite"):
        Restorer(model, device="cpu", dtype="fp32").restore(picture(20, 20))


def test_the_plan_keeps_within_the_memory_it_is_given() -> None:
    roomy, tight = (Restorer(MODEL, device="cpu", memory=m) for m in (1 << 34, 48 << 20))
    assert roomy.plan(600, 400).tile == 0
    assert max(roomy.plan(9000, 9000).tiles()[0].height, roomy.plan(9000, 9000).tiles()[0].width) <= tiling.LARGEST
    assert tight.plan(600, 400).bytes <= 48 << 20
    assert 0 < tight.plan(600, 400).tile < 600
    with pytest.raises(InputError, match="the limit is 48 MiB"):
        tight.restore(picture(600, 800), tile=0)
    with pytest.raises(InputError, match="tile must be auto, 0 or a number"):
        RESTORER.restore(picture(8, 8), tile=-1)


def test_draws_that_do_not_fit_are_not_kept_but_counted() -> None:
    y = picture(300, 300)
    needed = RESTORER.plan(300, 300, Options(tile=256)).bytes
    kept = Restorer(MODEL, device="cpu", memory=1 << 34).restore(y, samples=5, tile=256, steps=2)
    tight = Restorer(MODEL, device="cpu", memory=needed + 24 * 90_000 + 4 * 3 * 90_000)
    counted = tight.restore(y, samples=5, tile=256, steps=2)
    assert kept.samples.shape == (5, 300, 300, 3)
    assert counted.samples.shape == (0, 300, 300, 3)
    assert counted.std is not None
    assert kept.std is not None
    assert np.abs(counted.mean - kept.mean).max() < 1e-6
    assert np.abs(counted.std - kept.std).max() < 1e-6


def test_bytes_per_pixel_grow_with_the_network_and_not_with_the_tile() -> None:
    plain = tiny_model(head=False)
    assert 60 < bytes_per_pixel(plain) < bytes_per_pixel(MODEL) < 400
    assert bytes_per_pixel(MODEL) == bytes_per_pixel(MODEL)
    assert weight_bytes(plain) < weight_bytes(MODEL)
    coarse = replace(MODEL, spec=replace(MODEL.spec, multiple_of=16))
    assert bytes_per_pixel(coarse) == pytest.approx(bytes_per_pixel(MODEL), rel=0.1)


def test_tiles_that_memory_left_no_choice_of_are_recorded_so_that_they_come_again() -> None:
    """Asked for, so short a side would share a quarter of itself; chosen, it shares twice the reach."""
    y = picture(300, 300)
    tight = Restorer(MODEL, device="cpu", memory=RESTORER.plan(300, 300, Options(tile="auto:180")).bytes)
    out = tight.restore(y, resolution="off", steps=2)
    assert out.protocol["tile"] == "auto:180"
    again = RESTORER.restore(y, resolution="off", steps=2, tile=out.protocol["tile"])
    assert np.array_equal(again.image, out.image)


@pytest.mark.parametrize("tile", ["auto:", "auto:0", "auto:x", "auto:٣", "128", -1, True, None])
def test_what_is_no_tile_is_refused(tile: object) -> None:
    with pytest.raises(InputError, match="tile must be auto, 0 or a number"):
        Options(tile=tile)  # type: ignore[arg-type]
