"""Mutated files: every one is read as a valid photograph that can be written again, or refused in one line. Never a crash or a hang."""

from __future__ import annotations

import importlib.util
import io
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from unveil import photo
from unveil.errors import InputError

SECONDS = 5


def seeds(make: SimpleNamespace) -> dict[str, bytes]:
    """Small files of every format and kind, with profiles and metadata, since those are parsed too."""
    rgb, four, grey = make.smooth(30, 40), make.smooth(30, 40, 4), make.smooth(30, 40, 1)
    wide = make.random((12, 14, 3), np.uint16)
    p3, block = make.matrix_profile("p3"), make.exif(6)
    raw = block.tobytes()[6:]
    return {
        "jpeg": make.pillow(rgb, "JPEG", exif=block, icc_profile=p3, xmp=make.xmp, comment=b"text"),
        "jpeg progressive": make.pillow(rgb, "JPEG", progressive=True, subsampling=2),
        "jpeg grey": make.pillow(grey, "JPEG", icc_profile=make.grey_profile(2.2)),
        "jpeg cmyk": make.pillow(four, "JPEG", "CMYK", icc_profile=make.cmyk_profile()),
        "png": make.pillow(rgb, "PNG", exif=block, icc_profile=p3),
        "png alpha": make.pillow(four, "PNG"),
        "png palette": make.pillow(grey, "PNG", "P", transparency=3),
        "png 16": make.png16(wide, (0, 1, 2, 3, 4), chunks=make.chunk(b"eXIf", raw)),
        "png 16 interlaced": make.png16(wide, (4, 2), interlaced=True),
        "webp": make.pillow(rgb, "WEBP", exif=block, icc_profile=p3, xmp=make.xmp),
        "webp lossless": make.pillow(four, "WEBP", lossless=True),
        "webp alpha": make.pillow(four, "WEBP", quality=60),
        "tiff": make.tiff(
            rgb, iccprofile=p3, extratags=[(274, 3, 1, 6, True), (700, 1, len(make.xmp), make.xmp, True)]
        ),
        "tiff 16": make.tiff(wide, compression="zlib", predictor=True, rowsperstrip=5),
        "tiff tiles": make.tiff(make.random((30, 40, 3), np.uint16), tile=(16, 16), byteorder=">"),
        "tiff float": make.tiff(make.random((12, 14, 4), np.float32), extra="assocalpha"),
        "tiff lzw": make.pillow(rgb, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": make.pillow(rgb, "TIFF", compression="jpeg"),
        "tiff fax": make.pillow(
            np.packbits(grey[..., 0] > 128, axis=1)[..., None], "TIFF", "1", size=(40, 30), compression="group4"
        ),
        "tiff big": make.tiff(rgb, bigtiff=True, compression="lzma"),
        "avif": make.pillow(rgb, "AVIF", exif=block, icc_profile=p3),
        "avif alpha": make.pillow(four, "AVIF", quality=60),
        **heif(make),
        "bmp": make.pillow(rgb, "BMP"),
        "bmp palette": make.pillow(grey, "BMP", "P"),
    }


def heif(make: SimpleNamespace) -> dict[str, bytes]:
    """The same in HEIC, where its plugin is installed."""
    if importlib.util.find_spec("pillow_heif") is None:
        return {}
    return {
        "heif": make.pillow(make.smooth(30, 40), "HEIF", exif=make.exif(6), icc_profile=make.matrix_profile("p3")),
        "heif alpha": make.pillow(make.smooth(30, 40, 4), "HEIF", quality=60),
    }


def mutate(file: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One to four faults: flipped bits, edits of the header, bytes lost, doubled or exchanged, a cut, a foreign piece."""
    out = bytearray(file)
    for _ in range(rng.integers(1, 5)):
        if len(out) < 2:
            break
        kind, at = rng.integers(9), int(rng.integers(len(out)))
        head = int(rng.integers(min(len(out), 120)))
        if kind == 0:
            out[at] ^= 1 << rng.integers(8)
        elif kind == 1:
            out[head] = rng.integers(256)
        elif kind == 2 and head + 4 <= len(out):
            struct.pack_into(
                str(rng.choice(["<I", ">I"])),
                out,
                head,
                int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 65535, 1 << 20])),
            )
        elif kind == 3 and head + 2 <= len(out):
            struct.pack_into(str(rng.choice(["<H", ">H"])), out, head, int(rng.choice([0, 1, 255, 32767, 65535])))
        elif kind == 4:
            del out[at:]
        elif kind == 5:
            del out[at : at + int(rng.integers(1, 40))]
        elif kind == 6:
            out[at:at] = out[at : at + int(rng.integers(1, 200))]
        elif kind == 7:
            out[at : at + 16] = rng.bytes(16)
        else:
            other = others[rng.integers(len(others))]
            place = int(rng.integers(len(other)))
            out[at : at + 64] = other[place : place + 64]
    return bytes(out)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread after so many seconds of the process's own time: other work on the machine is no hang."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check(file: bytes) -> bool:
    """Whether the file was read. What was read must be whole, and must survive being written."""
    try:
        found = photo.read(file, max_pixels=4_000_000)
    except InputError as error:
        message = str(error)
        assert message.startswith("<bytes>: ")
        assert "\n" not in message
        assert 20 < len(message) < 600
        return False
    height, width = found.pixels.shape[:2]
    assert found.pixels.shape == (height, width, 3)
    assert found.pixels.dtype == np.float32
    assert found.pixels.min() >= 0
    assert found.pixels.max() <= 1
    assert found.alpha is None or found.alpha.shape == (height, width)
    if height * width <= 100_000:
        photo.write(found, found.pixels, out := io.BytesIO())
        again = photo.read(out.getvalue())
        assert again.pixels.shape == found.pixels.shape
    return True


def run(make: SimpleNamespace, count: int, seed: int) -> tuple[int, float]:
    files = seeds(make)
    for name, file in files.items():
        assert check(file), name
    rng = np.random.default_rng(seed)
    others = list(files.values())
    read, slowest = 0, 0.0
    for index in range(count):
        name = list(files)[index % len(files)]
        file = mutate(files[name], rng, others)
        start = time.process_time()
        try:
            with within(SECONDS):
                read += check(file)
        except Exception as error:
            raise AssertionError(f"mutation {index} of {name!r} (seed {seed}): {error!r}\n{file.hex()}") from error
        slowest = max(slowest, time.process_time() - start)
    return read, slowest


def test_a_hundred_mutated_files(make: SimpleNamespace) -> None:
    read, _ = run(make, 100, seed=0)
    # Neither everything refused nor everything read: the mutations reach the decoders.
    assert 5 < read < 95


@pytest.mark.slow
def test_two_thousand_mutated_files(make: SimpleNamespace) -> None:
    read, slowest = run(make, 2000, seed=1)
    print(f"{read} of 2000 were read, the rest refused; the slowest took {slowest:.2f} s of processor time")
    assert 100 < read < 1900
