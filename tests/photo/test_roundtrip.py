from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil import photo

SIZES = st.one_of(
    st.tuples(st.integers(1, 65), st.integers(1, 65)),
    st.sampled_from([(1, 1), (1, 2000), (2000, 1), (2, 999), (65, 1), (1, 65)]),
)
SEEDS = st.integers(0, 2**32 - 1)


def same(make: SimpleNamespace, file: bytes, lossless: bool = True) -> photo.Photo:
    """Read, write unchanged, read: everything about the photograph must be as it was. Returns the first reading."""
    first = photo.read(file)
    out = io.BytesIO()
    assert photo.write(first, first.pixels, out) == ()
    second = photo.read(out.getvalue())
    for name in ("grey", "depth", "format", "alpha_kind", "icc", "lossless"):
        assert getattr(second, name) == getattr(first, name), name
    assert (second.alpha is None) == (first.alpha is None)
    if first.alpha is not None:
        assert second.alpha.dtype == first.alpha.dtype
        np.testing.assert_array_equal(second.alpha, first.alpha)
    assert (second.native is None) == (first.native is None)
    if lossless:
        np.testing.assert_array_equal(second.pixels, first.pixels)
        if first.native is not None:
            assert second.native.dtype == first.native.dtype
            np.testing.assert_array_equal(second.native, first.native)
    return first


def check_pixels(found: photo.Photo, colours: np.ndarray) -> None:
    """`pixels` must be the file's samples over their maximum, replicated for grey."""
    top = np.iinfo(colours.dtype).max
    np.testing.assert_array_equal(np.rint(found.pixels * np.float64(top)), np.broadcast_to(colours, found.pixels.shape))


@settings(max_examples=60, deadline=None)
@given(size=SIZES, channels=st.integers(1, 4), depth=st.sampled_from([8, 16]), seed=SEEDS)
def test_png_is_bit_for_bit(make: SimpleNamespace, size: tuple[int, int], channels: int, depth: int, seed: int) -> None:
    samples = make.random((*size, channels), np.uint8 if depth == 8 else np.uint16, seed)
    file = make.pillow(samples, "PNG") if depth == 8 else make.png16(samples[:40, :40], (0, 1, 2, 3, 4))
    samples = samples if depth == 8 else samples[:40, :40]
    found = same(make, file)
    assert (found.grey, found.depth) == (channels < 3, depth)
    colours = samples[..., : 1 if channels < 3 else 3]
    check_pixels(found, colours)
    if channels in (2, 4):
        np.testing.assert_array_equal(found.alpha, samples[..., -1])


TIFF_KINDS = [(1, "minisblack", None), (2, "minisblack", "unassalpha"), (3, "rgb", None), (4, "rgb", "unassalpha")]
TIFF_KINDS += [
    (4, "rgb", "assocalpha"),
    (4, "rgb", "unspecified"),
    (4, "separated", None),
    (5, "separated", "unassalpha"),
]


@settings(max_examples=80, deadline=None)
@given(
    size=SIZES,
    kind=st.sampled_from(TIFF_KINDS),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32, np.float16, np.float64]),
    seed=SEEDS,
)
def test_tiff_is_bit_for_bit(make: SimpleNamespace, size: tuple[int, int], kind: tuple, dtype: type, seed: int) -> None:
    channels, photometric, extra = kind
    samples = make.random((*size, channels), dtype, seed)
    found = same(make, make.tiff(samples, photometric, extra=extra))
    assert found.depth == (32 if np.dtype(dtype).kind == "f" else 8 * np.dtype(dtype).itemsize)
    assert found.alpha_kind == {"assocalpha": "premultiplied"}.get(extra, "straight")
    if extra == "unspecified":
        assert found.alpha is None
        np.testing.assert_array_equal(found.others[..., 0], samples[..., -1])
    elif extra is not None:
        np.testing.assert_array_equal(found.alpha, samples[..., -1])
    if found.native is not None:
        np.testing.assert_array_equal(found.native, samples[..., : samples.shape[2] - (extra is not None)])
    else:
        check_pixels(found, samples[..., : 1 if channels < 3 else 3])


@settings(max_examples=30, deadline=None)
@given(size=SIZES, channels=st.sampled_from([3, 4]), seed=SEEDS)
def test_lossless_webp_is_bit_for_bit(make: SimpleNamespace, size: tuple[int, int], channels: int, seed: int) -> None:
    samples = make.random((*size, channels), seed=seed)
    if channels == 4:
        samples[..., 3] //= 128  # many fully transparent pixels, whose colours must survive too
        samples[0, 0, 3] = 0
    found = same(make, make.pillow(samples, "WEBP", lossless=True, exact=True))
    assert found.lossless
    check_pixels(found, samples[..., :3])


@settings(max_examples=30, deadline=None)
@given(size=SIZES, kind=st.sampled_from(["L", "RGB", "RGBA", "P", "1"]), seed=SEEDS)
def test_bmp_is_bit_for_bit(make: SimpleNamespace, size: tuple[int, int], kind: str, seed: int) -> None:
    samples = make.random((*size, {"RGB": 3, "RGBA": 4}.get(kind, 1)), seed=seed)
    if kind == "RGBA":
        file = io.BytesIO()
        photo.write(photo.read(make.pillow(samples, "PNG")), samples[..., :3] / np.float32(255), file, "BMP")
        found = same(make, file.getvalue())
        np.testing.assert_array_equal(found.alpha, samples[..., 3])
    elif kind == "1":
        found = same(make, make.pillow(np.packbits(samples[..., 0] > 99, axis=1)[..., None], "BMP", "1", size=size))
    else:
        found = same(make, make.pillow(samples, "BMP", kind if kind != "P" else "L"))
    assert found.grey == (kind in "LP1")
    if kind in ("RGB", "RGBA"):
        check_pixels(found, samples[..., :3])


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 48), (1, 65), (33, 2)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossy_formats_keep_their_nature(
    make: SimpleNamespace, format: str, size: tuple[int, int], channels: int
) -> None:
    if (format, channels) in (("JPEG", 4), ("WEBP", 1)):
        pytest.skip("this format holds no such samples")
    samples = make.smooth(*size, channels)
    options = {"subsampling": "4:0:0"} if (format, channels) == ("AVIF", 1) else {}
    first = same(make, make.pillow(samples, format, quality=90, **options), lossless=False)
    assert first.grey == (channels == 1)
    assert first.depth == 8
    assert not first.lossless
    out = io.BytesIO()
    photo.write(first, first.pixels, out)
    # One more generation costs about one of 255 on smooth content, most of it where chroma is halved.
    assert np.abs(photo.read(out.getvalue()).pixels - first.pixels).mean() < 2 / 255
