from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unveil import photo
from unveil.errors import InputError
from unveil.photo import png


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.integers(1, 4),
    filters=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    interlaced=st.booleans(),
    seed=st.integers(0, 999),
)
def test_every_filter_and_interlacing(
    make: SimpleNamespace, size: tuple[int, int], channels: int, filters: list[int], interlaced: bool, seed: int
) -> None:
    """Against an encoder that follows the standard byte by byte."""
    samples = make.random((*size, channels), np.uint16, seed)
    colours, alpha = png.decode16(make.png16(samples, tuple(filters), interlaced))
    found = colours if alpha is None else np.concatenate([colours, alpha[..., None]], axis=2)
    np.testing.assert_array_equal(found, samples)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    channels=st.integers(1, 4),
    wide=st.booleans(),
    seed=st.integers(0, 999),
)
def test_our_files_are_read_by_others(
    make: SimpleNamespace, size: tuple[int, int], channels: int, wide: bool, seed: int
) -> None:
    """Pillow reads 8 bits and 16-bit grey whole, and the upper half of other 16-bit samples."""
    samples = make.random((*size, channels), np.uint16 if wide else np.uint8, seed)
    # Half noise and half waves, so that every filter is chosen somewhere.
    samples[: size[0] // 2] = make.smooth(size[0], size[1], channels)[: size[0] // 2].astype(samples.dtype) * (
        257 if wide else 1
    )
    with Image.open(io.BytesIO(png.encode(samples))) as image:
        seen = np.asarray(image)
    seen = seen[..., None] if seen.ndim == 2 else seen
    if wide and channels == 2:
        # Pillow turns 16-bit grey with alpha into RGBA.
        assert seen.shape[2] in (2, 4)
        seen = seen[..., [0, -1]]
    np.testing.assert_array_equal(seen, samples >> 8 if wide and channels > 1 else samples)


def test_the_encoder_uses_every_filter(make: SimpleNamespace) -> None:
    """Rows made so that one filter leaves nothing, or next to nothing, of each."""
    ramp, noise = np.arange(64, dtype=np.uint8) * 3, make.random((64,))
    halves = np.zeros(64, np.uint8)
    for x in range(64):
        halves[x] = (int(halves[x - 1] if x else 0) + int(noise[x])) // 2
    flat, small = np.full(64, 128, np.uint8), np.arange(64, dtype=np.uint8) % 2
    waves = make.smooth(30, 64, 1)[..., 0]
    picture = np.concatenate([np.stack([ramp, noise, noise, halves, flat, small]), waves])
    filtered = png.choose(picture, np.zeros(64, np.uint8), 1)
    kinds = filtered[:, 0]
    assert (kinds[0], kinds[2], kinds[3], kinds[5]) == (
        png.SUB, png.UP, png.AVERAGE, png.NONE,
    )  # fmt: skip
    assert png.PAETH in kinds[6:]
    np.testing.assert_array_equal(png.unfilter(filtered, 1), picture)


def valid(make: SimpleNamespace) -> bytes:
    return make.png16(make.random((9, 7, 3), np.uint16), (4, 3))


def body(make: SimpleNamespace, content: bytes) -> bytes:
    file = valid(make)
    return file[:33] + make.chunk(b"IDAT", content) + make.chunk(b"IEND", b"")


def damaged(make: SimpleNamespace) -> dict[str, tuple[bytes, str]]:
    file, rows = valid(make), 9 * (1 + 7 * 6)
    flipped = bytearray(file)
    flipped[33 + 12] ^= 0x40
    return {
        "checksum": (bytes(flipped), "checksum"),
        "no end": (file[:-12], "cut short"),
        "cut": (file[: len(file) // 2], "cut short"),
        "short pixels": (body(make, zlib.compress(bytes(rows - 1))), "cut short"),
        "unknown filter": (body(make, zlib.compress(b"\x07" * rows)), "filter"),
        "no zlib": (body(make, b"this is not compressed at all"), "incorrect"),
        "no pixels": (file[:33] + make.chunk(b"IEND", b""), "no pixels"),
    }


@pytest.mark.parametrize(
    "kind", ["checksum", "no end", "cut", "short pixels", "unknown filter", "no zlib", "no pixels"]
)
def test_damage_is_refused_with_its_reason(make: SimpleNamespace, kind: str) -> None:
    file, reason = damaged(make)[kind]
    with pytest.raises(InputError, match=reason):
        photo.read(file)


def test_a_stream_longer_than_the_picture_is_not_unpacked(make: SimpleNamespace) -> None:
    """Sixteen megabytes of zeros behind 387 bytes of pixels: only the pixels are taken."""
    packed = zlib.compress(bytes(16 << 20), 1)
    tracemalloc.start()
    try:
        samples, _ = png.decode16(body(make, packed))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    np.testing.assert_array_equal(samples, 0)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(make: SimpleNamespace, bits: int) -> None:
    """Grey of 1, 2 and 4 bits is spread over 8."""
    top = 2**bits - 1
    indices = make.random((9, 16, 1)) % (top + 1)
    image = Image.frombytes("P", (16, 9), indices.tobytes())
    image.putpalette(bytes(v * 255 // top for v in range(top + 1) for _ in range(3)))
    file = io.BytesIO()
    image.save(file, "PNG", bits=bits)
    found = photo.read(file.getvalue())
    assert found.grey
    np.testing.assert_array_equal(np.rint(found.pixels[..., :1] * 255), indices.astype(int) * 255 // top)


def test_animations_are_refused(make: SimpleNamespace) -> None:
    frames = [Image.fromarray(make.random((8, 8, 3), seed=i)) for i in range(3)]
    for format in ("PNG", "WEBP", "AVIF", "GIF"):
        out = io.BytesIO()
        frames[0].save(out, format, save_all=True, append_images=frames[1:])
        with pytest.raises(InputError, match=r"it is an animation.*; take single frames out of it( first)?$"):
            photo.read(out.getvalue())


def test_with_and_without_imagecodecs(make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast codec and ours read each other's files, and ours does without."""
    pytest.importorskip("imagecodecs")
    for channels in (1, 2, 3, 4):
        for kind in (np.uint8, np.uint16):
            samples = make.random((13, 17, channels), kind)
            fast = png.encode(samples)
            with monkeypatch.context() as without:
                without.setitem(sys.modules, "imagecodecs", None)
                slow = png.encode(samples)
                if kind is np.uint16:
                    ours = png.decode16(fast)
            if kind is np.uint16:
                theirs = png.decode16(slow)
                for one, two in zip(ours, theirs, strict=True):
                    np.testing.assert_array_equal(one, two)
                np.testing.assert_array_equal(ours[0], samples[..., : 1 if channels < 3 else 3])


def test_a_palette_of_greys_keeps_its_profile_of_colours(make: SimpleNamespace) -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3, "L").convert("P")
    image.save(out := io.BytesIO(), "PNG", icc_profile=make.matrix_profile("adobe"))
    found = photo.read(out.getvalue())
    photo.write(found, found.pixels, again := io.BytesIO(), "PNG")
    with Image.open(io.BytesIO(again.getvalue())) as written:
        assert (written.mode, written.info["icc_profile"][16:20]) == ("RGB", b"RGB ")
    assert np.abs(photo.read(again.getvalue()).pixels - found.pixels).max() < 1e-6


@pytest.mark.parametrize(
    ("depth", "key", "row", "hidden"),
    [(1, 1, b"\x55", 4), (2, 1, b"\x1b", 1), (4, 5, b"\x05\xaf", 1), (8, 77, b"\0\x4d\x5a\xff", 1)],
)
def test_a_transparent_grey_of_few_bits(depth: int, key: int, row: bytes, hidden: int) -> None:
    width = 8 * len(row) // depth
    parts = (b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, 0, 0, 0, 0)), (b"tRNS", struct.pack(">H", key))
    parts += (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    found = photo.read(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert found.alpha is not None
    assert (found.alpha == 0).sum() == hidden
    assert found.alpha[0, 1] == 0
