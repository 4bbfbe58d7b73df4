"""Sizes and pixels of image files."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil import photo
from unveil.data.files import Unreadable, decode, halved, images_in, size
from unveil.errors import InputError, UnveilWarning


def test_size_is_that_of_the_decoded_pixels_and_exif_turns_both(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise for display
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    assert size(tmp_path / "plain.png") == decode(tmp_path / "plain.png").shape[:2] == (20, 30)
    assert size(tmp_path / "turned.jpg") == decode(tmp_path / "turned.jpg").shape[:2] == (30, 20)
    assert decode(tmp_path / "turned.jpg")[5].mean() > 200  # the bright left half is on top
    assert decode(tmp_path / "turned.jpg")[25].mean() < 55


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_that_of_photographs_in_every_format(tmp_path: Path, turn: int) -> None:
    """Pairs of two formats would be turned against each other."""
    pixels = np.random.default_rng(turn).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    block = exif.tobytes()
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.jpg", exif=exif)
    image.save(tmp_path / "a.webp", exif=exif, lossless=True)
    image.save(tmp_path / "a.tif", exif=exif)
    image.save(tmp_path / "deflated.tif", exif=exif, compression="tiff_deflate")
    image.save(tmp_path / "a.png", exif=exif)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "a.bmp")
    plain = (tmp_path / "plain.png").read_bytes()
    bare = block.removeprefix(b"Exif\0\0")
    (tmp_path / "behind.png").write_bytes(plain[:-12] + png_chunk(b"eXIf", bare) + plain[-12:])
    text = b"Raw profile type exif\0\nexif\n" + f"{len(block):8d}\n{block.hex()}\n".encode()
    (tmp_path / "older.png").write_bytes(plain[:33] + png_chunk(b"tEXt", text) + plain[33:])
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "grey16.png", exif=exif)
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "grey16.tif", exif=exif)
    for path in sorted(tmp_path.iterdir()):
        seen = np.rint(photo.read(path).pixels * 255).astype(np.uint8)
        assert np.array_equal(decode(path), seen), path.name
        assert size(path) == seen.shape[:2], path.name


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0x0100], [0x8000, 0xFFFF]], np.uint16)).save(tmp_path / "grey.png")
    assert decode(tmp_path / "grey.png")[:, :, 0].tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_mode_becomes_three_channels_of_bytes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"image.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.new(mode, (5, 4)).save(path)
    assert decode(path).shape == (4, 5, 3)
    assert decode(path).dtype == np.uint8


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:700])
    text = tmp_path / "text.png"
    text.write_text("no image")
    empty = tmp_path / "empty.png"
    empty.touch()
    assert size(cut) == (64, 64)  # the header is whole
    no_image = "is not an image, or its beginning is damaged; give a JPEG, PNG, BMP, WebP or TIFF"
    for path, read, told in (
        (cut, decode, "cannot be read: image file is truncated"),
        (text, size, no_image),
        (text, decode, no_image),
        (empty, size, r"the file is empty \(0 bytes\); copy it again"),
        (empty, decode, r"the file is empty \(0 bytes\); copy it again"),
        (tmp_path / "gone.png", size, "no such file; check the path"),
        (tmp_path / "gone.png", decode, "no such file; check the path"),
    ):
        with pytest.raises(Unreadable, match=f"{path.name}: {told}") as error:
            read(path)
        assert " at 0x" not in str(error.value)


def test_images_in_finds_all_below_in_order_and_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        images_in(tmp_path / "missing")
    with pytest.raises(InputError, match="no images here"):
        images_in(tmp_path)
    for name in ("b.png", "a.JPG", "sub/c.tif", "notes.txt", ".hidden.png", "sub/.ipynb_checkpoints/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in images_in(tmp_path)] == ["a.JPG", "b.png", "c.tif"]
    assert [p.name for p in images_in(tmp_path / "sub/.ipynb_checkpoints")] == ["d.png"]  # it was named


def test_images_that_training_does_not_read_are_said(tmp_path: Path) -> None:
    for name in ("a.heic", "b.DNG", "c.heic", ".hidden.gif", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"a\.heic and 2 more \(\.dng, \.heic\) must be saved as one of these first"):
        images_in(tmp_path)
    (tmp_path / "d.png").touch()
    with pytest.warns(UnveilWarning, match=r"a\.heic and 2 more: passed over, since \.dng, \.heic is not read here"):
        assert [p.name for p in images_in(tmp_path)] == ["d.png"]


def test_halved_rounds_the_mean_of_four() -> None:
    pixels = np.array([[[0, 1, 255], [0, 1, 255], [9, 9, 9]], [[0, 1, 255], [2, 2, 254], [9, 9, 9]]], np.uint8)
    assert halved(pixels).tolist() == [[[1, 1, 255]]]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
def test_a_grey_tiff_is_upright_however_it_is_stored(tmp_path: Path, turn: int, compression: str) -> None:
    """Pillow 12.3 maps an uncompressed grey TIFF from its path with the width of the turned picture."""
    stored = np.arange(6 * 10, dtype=np.uint8).reshape(6, 10) * 4
    image = Image.fromarray(stored)
    tags = image.getexif()
    tags[0x0112] = turn
    image.save(tmp_path / "a.tif", exif=tags, compression=compression)
    upright = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.T,
        6: np.rot90(stored, -1), 7: np.rot90(stored, 2).T, 8: np.rot90(stored),
    }[turn]  # fmt: skip
    found = decode(tmp_path / "a.tif")
    assert np.array_equal(found, np.repeat(upright[..., None], 3, axis=2))
    assert size(tmp_path / "a.tif") == upright.shape


@pytest.mark.parametrize("read", [size, decode])
def test_threads_that_overlap_leave_the_warning_filters_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    """The first to enter leaves first: each with filters of its own, the second would bring back those of the first."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    before, opened = list(warnings.filters), Image.open
    inside, first_left = threading.Event(), threading.Event()

    def slow(file: object) -> Image.Image:
        if threading.current_thread().name == "first":
            inside.set()
            assert both.wait(10) is not None
        else:
            both.wait(10)
            first_left.wait(10)
        return opened(file)  # type: ignore[arg-type]

    def run() -> None:
        read(tmp_path / "a.png")
        if threading.current_thread().name == "first":
            first_left.set()

    both = threading.Barrier(2)
    monkeypatch.setattr(Image, "open", slow)
    threads = [threading.Thread(target=run, name=name) for name in ("first", "second")]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert list(warnings.filters) == before
