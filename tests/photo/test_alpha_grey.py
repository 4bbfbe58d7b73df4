from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unveil import photo


def rewritten(found: photo.Photo, pixels: np.ndarray, format: str | None = None) -> photo.Photo:
    out = io.BytesIO()
    photo.write(found, pixels, out, format)
    return photo.read(out.getvalue())


def brighter(found: photo.Photo) -> np.ndarray:
    return np.clip(found.pixels * np.float32(0.7) + np.float32(0.2), 0, 1)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF", "TIFF", "BMP", "HEIF"])
def test_alpha_is_untouched_when_colours_change(make: SimpleNamespace, format: str) -> None:
    samples = make.random((24, 20, 4))
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    found = photo.read(make.pillow(samples, "PNG"))
    again = rewritten(found, brighter(found), format)
    assert again.alpha is not None
    np.testing.assert_array_equal(again.alpha, samples[..., 3])
    if format == "WEBP":  # and in the lossy kind too
        lossy = photo.read(make.pillow(samples, "WEBP", quality=70))
        np.testing.assert_array_equal(rewritten(lossy, brighter(lossy)).alpha, samples[..., 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_premultiplied_alpha(make: SimpleNamespace, dtype: type) -> None:
    """Stored colours are multiplied by alpha: the restorer sees them divided, and its change is multiplied again."""
    top = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    alpha = np.linspace(0, 1, 30)[None, :, None].repeat(8, axis=0)
    colour = make.random((8, 30, 3)) / 255 * 0.9
    stored = np.concatenate([colour * alpha, alpha], axis=2) * top
    stored = stored.astype(dtype) if dtype is np.float32 else np.rint(stored).astype(dtype)
    found = photo.read(make.tiff(stored, extra="assocalpha"))
    assert found.alpha_kind == "premultiplied"
    # Half a stored step is up to five times as much after division by an alpha of a fifth.
    seen = np.broadcast_to(alpha > 0.2, found.pixels.shape)
    np.testing.assert_allclose(found.pixels[seen], colour[seen], atol=3e-6 if dtype is np.float32 else 4 / float(top))
    wanted = (found.pixels + np.float32(0.1)).clip(0, 1)
    again = rewritten(found, wanted)
    np.testing.assert_array_equal(again.alpha, found.alpha)
    assert (again.native <= again.alpha[..., None]).all()
    np.testing.assert_allclose(again.pixels[seen], wanted[seen], atol=5e-6 if dtype is np.float32 else 8 / float(top))
    straight = rewritten(found, wanted, "PNG")
    np.testing.assert_allclose(
        straight.pixels[seen], wanted[seen], atol=3e-5 if dtype is np.float32 else 8 / float(top)
    )


@pytest.mark.parametrize(("channels", "format"), [(3, "BMP"), (3, "PNG"), (1, "BMP"), (1, "WEBP")])
def test_premultiplied_colours_with_a_profile_are_divided_once(
    make: SimpleNamespace, channels: int, format: str
) -> None:
    profile = make.matrix_profile("adobe") if channels == 3 else make.grey_profile(1.8)
    stored = np.full((8, 8, channels + 1), 100, np.uint8)
    stored[..., -1] = 128
    photometric = "rgb" if channels == 3 else "minisblack"
    found = photo.read(make.tiff(stored, photometric, extra="assocalpha", iccprofile=profile))
    again = rewritten(found, found.pixels, format)
    assert again.alpha is not None
    np.testing.assert_allclose(again.pixels, found.pixels, atol=3 / 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "BMP", "AVIF", "HEIF"])
def test_grey_stays_grey_without_tint(make: SimpleNamespace, format: str) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    found = photo.read(make.pillow(make.smooth(20, 30, 1), "PNG"))
    tinted = brighter(found) + np.array([0.05, 0, -0.05], np.float32)
    again = rewritten(found, tinted, format)
    assert again.grey
    assert np.ptp(again.pixels, axis=2).max() == 0
    assert np.abs(again.pixels[..., 0] - brighter(found)[..., 0]).mean() < 0.02


def test_grey_in_webp_has_no_tint(make: SimpleNamespace) -> None:
    found = photo.read(make.pillow(make.random((20, 30, 1)), "PNG"))
    again = rewritten(found, brighter(found), "WEBP")
    assert np.ptp(again.pixels, axis=2).max() == 0


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
@pytest.mark.parametrize("alpha", [False, True])
def test_grey_and_its_alpha(make: SimpleNamespace, alpha: bool, format: str) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif")
    samples = make.random((16, 16, 2 if alpha else 1))
    found = photo.read(make.pillow(samples, "PNG"))
    again = rewritten(found, found.pixels, format)
    assert again.grey
    assert (again.alpha is not None) == alpha


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(0, 250, 5))])
@pytest.mark.parametrize("grey", [False, True])
def test_palettes(make: SimpleNamespace, transparency: object, grey: bool) -> None:
    colours = make.random((50, 1 if grey else 3), seed=3).repeat(3 if grey else 1, axis=1)
    indices = make.random((12, 17)) % 50
    image = Image.frombytes("P", (17, 12), indices.tobytes())
    image.putpalette(colours.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", **({} if transparency is None else {"transparency": transparency}))
    found = photo.read(file.getvalue())
    assert found.mode == "P"
    assert found.grey == grey
    np.testing.assert_array_equal(np.rint(found.pixels * 255), colours[indices])
    if transparency is None:
        assert found.alpha is None
    else:
        table = np.full(256, 255)
        if isinstance(transparency, bytes):
            table[: len(transparency)] = list(transparency)
        else:
            table[transparency] = 0
        np.testing.assert_array_equal(found.alpha, table[indices])
    again = rewritten(found, found.pixels)
    np.testing.assert_array_equal(again.pixels, found.pixels)
    assert (again.alpha is None) == (found.alpha is None)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_becomes_alpha(make: SimpleNamespace, channels: int, depth: int) -> None:
    samples = make.random((8, 9, channels), np.uint8 if depth == 8 else np.uint16)
    key = samples[3, 4]
    if depth == 8:
        colour = int(key[0]) if channels == 1 else tuple(int(v) for v in key)
        file = make.pillow(samples, "PNG", transparency=colour)
    else:
        file = make.png16(samples, chunks=make.chunk(b"tRNS", key.astype(">u2").tobytes()))
    found = photo.read(file)
    expected = np.where((samples == key).all(axis=2), 0, 2**depth - 1)
    np.testing.assert_array_equal(found.alpha, expected)
    again = rewritten(found, found.pixels)
    np.testing.assert_array_equal(again.alpha, found.alpha)
    np.testing.assert_array_equal(again.pixels, found.pixels)


def test_a_network_output_of_another_depth_lands_between_the_steps(make: SimpleNamespace) -> None:
    """16 bits in, 16 bits out: a smooth ramp must not come back with 256 steps."""
    found = photo.read(make.png16(make.random((2, 300, 3), np.uint16)[:, :40]))
    ramp = np.linspace(0.2, 0.3, found.width, dtype=np.float32)[None, :, None] * np.ones(
        (found.height, 1, 3), np.float32
    )
    again = rewritten(found, ramp)
    np.testing.assert_allclose(again.pixels, ramp, atol=0.51 / 65535)


@pytest.mark.parametrize(
    ("format", "depth"), [("PNG", 16), ("JPEG", 8), ("WEBP", 8), ("AVIF", 16), ("BMP", 8), ("TIFF", 32)]
)
def test_float_tiff_in_other_formats(make: SimpleNamespace, format: str, depth: int) -> None:
    found = photo.read(make.tiff(make.random((9, 9, 4), np.float32), extra="unassalpha"))
    again = rewritten(found, found.pixels, format)
    assert again.depth == depth
    if format in ("PNG", "TIFF"):
        np.testing.assert_allclose(again.pixels, found.pixels, atol=0.51 / 65535)


def test_transparency_is_laid_on_white_for_jpeg(make: SimpleNamespace) -> None:
    samples = np.zeros((16, 16, 4), np.uint8)
    samples[:, 8:, 3] = 255
    found = photo.read(make.pillow(samples, "PNG"))
    notes = photo.write(found, found.pixels, out := io.BytesIO(), "JPEG")
    assert any("laid on white" in note for note in notes)
    pixels = photo.read(out.getvalue()).pixels
    assert pixels[:, :7].min() > 0.95
    assert pixels[:, 9:].max() < 0.05


@pytest.mark.parametrize("values", [np.nan, np.inf, -np.inf, 3e38, -3e38, 7.0, -3.0])
def test_float_samples_without_a_display_value(make: SimpleNamespace, values: float) -> None:
    """Kept where untouched, replaced by the restorer's value where it changed something."""
    samples = np.full((4, 4, 3), 0.25, np.float32)
    samples[1, 1], samples[2, 2] = values, values
    found = photo.read(make.tiff(samples))
    assert np.isfinite(found.pixels).all()
    new = found.pixels.copy()
    new[2, 2] = 0.5
    again = rewritten(found, new)
    np.testing.assert_array_equal(again.native[1, 1], samples[1, 1])
    np.testing.assert_allclose(again.native[2, 2], 0.5, atol=1e-6)
    np.testing.assert_array_equal(again.native[0], samples[0])
