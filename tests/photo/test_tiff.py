from __future__ import annotations

import io
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from unveil import photo
from unveil.errors import InputError

TYPES = [np.uint8, np.uint16, np.float32, np.float16]


def samples_of(found: photo.Photo, dtype: type) -> np.ndarray:
    """The file's colour samples, from `native` or from the pixels."""
    if found.native is not None:
        return found.native
    return np.rint(found.pixels * np.float64(np.iinfo(dtype).max)).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "options",
    [
        {}, {"compression": "zlib"}, {"compression": "lzma"}, {"byteorder": ">"}, {"bigtiff": True}, {"rowsperstrip": 7},
        {"tile": (16, 32)}, {"tile": (16, 16), "compression": "zlib"}, {"planarconfig": "separate", "rowsperstrip": 5},
        {"planarconfig": "separate", "rowsperstrip": 5, "compression": "lzma"}, {"planarconfig": "separate", "tile": (16, 16)},
        {"byteorder": ">", "compression": "zlib", "rowsperstrip": 3},
    ],
    ids=str,
)  # fmt: skip
def test_layouts(make: SimpleNamespace, dtype: type, options: dict) -> None:
    samples = make.random((37, 41, 3), dtype)
    found = photo.read(make.tiff(samples, **options))
    np.testing.assert_array_equal(samples_of(found, dtype), samples)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "options", [{"rowsperstrip": 7}, {"tile": (16, 16)}, {"byteorder": ">"}, {"planarconfig": "separate"}], ids=str
)
def test_differences_between_neighbours(make: SimpleNamespace, dtype: type, options: dict) -> None:
    samples = make.random((20, 33, 3), dtype)
    found = photo.read(make.tiff(samples, compression="zlib", predictor=2, **options))
    np.testing.assert_array_equal(samples_of(found, dtype), samples)


def by_hand(samples: np.ndarray, strips: list[bytes], rows: int, **tags: int) -> bytes:
    """A TIFF of RGB strips that are already packed. tags: "t259=5" for a compression and so on."""
    height, width, channels = samples.shape
    kind = 3 if samples.dtype.kind == "f" else 1
    numbers = {256: width, 257: height, 258: 8 * samples.itemsize, 259: 1, 262: 2, 277: channels, 278: rows, 339: kind}
    numbers |= {int(name[1:]): value for name, value in tags.items()}
    count = len(numbers) + 2
    lists = 8 + 2 + 12 * count + 4
    at = lists + 8 * len(strips)
    offsets = []
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    sizes = [len(strip) for strip in strips]
    where = (offsets[0], sizes[0]) if len(strips) == 1 else (lists, lists + 4 * len(strips))
    records = [(tag, 4, 1, value) for tag, value in numbers.items()]
    records += [(273, 4, len(strips), where[0]), (279, 4, len(strips), where[1])]
    directory = b"".join(struct.pack("<HHII", *record) for record in sorted(records))
    head = b"II*\0" + struct.pack("<IH", 8, count) + directory + bytes(4)
    return head + struct.pack(f"<{2 * len(strips)}I", *offsets, *sizes) + b"".join(strips)


CODES = {"tiff_lzw": 5, "packbits": 32773, "zstd": 50000, "lzma": 34925, "tiff_adobe_deflate": 8}


@pytest.mark.parametrize("compression", CODES)
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("dtype", TYPES)
def test_compressions_of_libtiff(make: SimpleNamespace, compression: str, predictor: int, dtype: type) -> None:
    """LZW with 16 bits is what image editors write, and what neither Pillow nor tifffile alone can read.

    libtiff compresses the plain bytes as rows of 8-bit grey, and its strips go into a TIFF that says what the bytes are.
    """
    samples = make.random((23, 19, 3), dtype)
    whole = samples.view(f"u{samples.itemsize}")
    plain = whole.copy()
    if predictor == 2:
        plain[:, 1:] -= whole[:, :-1]
    out = io.BytesIO()
    Image.fromarray(plain.view(np.uint8).reshape(23, -1)).save(out, "TIFF", compression=compression, tiffinfo={278: 6})
    with tifffile.TiffFile(io.BytesIO(out.getvalue())) as packed:
        page = packed.pages.first
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    strips = [out.getvalue()[offset : offset + size] for offset, size in places]
    file = by_hand(samples, strips, page.rowsperstrip, t259=CODES[compression], t317=predictor)
    np.testing.assert_array_equal(samples_of(photo.read(file), dtype), samples)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_predictor(make: SimpleNamespace, dtype: type) -> None:
    """TIFF technical note 3: bytes of equal weight together, most significant first, then differences of bytes."""
    samples = make.random((12, 15, 3), dtype)
    most_first = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8)
    planes = most_first.reshape(12, 15 * 3, samples.itemsize).transpose(0, 2, 1).reshape(12, -1)
    stored = planes.copy()
    stored[:, 3:] -= planes[:, :-3]
    found = photo.read(by_hand(samples, [stored.tobytes()], 12, t317=3))
    np.testing.assert_array_equal(found.native, samples)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_is_zero(make: SimpleNamespace, dtype: type) -> None:
    samples = make.random((9, 8, 1), dtype)
    found = photo.read(make.tiff(samples, "miniswhite"))
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    np.testing.assert_array_equal(samples_of(found, dtype)[..., :1], (top - samples).astype(dtype))


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        ("1", "group4"),
        ("P", None),
        ("P", "tiff_lzw"),
        ("RGB", "jpeg"),
        ("L", "jpeg"),
        ("1", None),
        ("CMYK", "tiff_lzw"),
    ],
)
def test_what_pillow_reads(make: SimpleNamespace, mode: str, compression: str | None) -> None:
    image = Image.fromarray(make.smooth(20, 24)).convert(mode)
    out = io.BytesIO()
    image.save(out, "TIFF", compression=compression)
    found = photo.read(out.getvalue())
    with Image.open(io.BytesIO(out.getvalue())) as shown:
        if mode == "CMYK":
            np.testing.assert_array_equal(found.native, np.asarray(shown))
        else:
            np.testing.assert_array_equal(np.rint(found.pixels * 255), np.asarray(shown.convert("RGB")))
    assert found.grey == (mode in "1L")


def test_others_read_what_we_write(make: SimpleNamespace) -> None:
    kinds = [(np.uint16, "rgb", 4, "unassalpha"), (np.float32, "rgb", 3, None), (np.uint8, "separated", 4, None)]
    for dtype, photometric, channels, extra in (*kinds, (np.uint16, "minisblack", 1, None)):
        samples = make.random((21, 22, channels), dtype)
        found = photo.read(make.tiff(samples, photometric, extra=extra))
        photo.write(found, found.pixels, out := io.BytesIO())
        seen = tifffile.imread(io.BytesIO(out.getvalue()))
        np.testing.assert_array_equal(seen.reshape(samples.shape), samples)


def test_several_pages_are_refused_and_previews_are_not(make: SimpleNamespace) -> None:
    samples = make.random((16, 16, 3))
    for kind, refused in ((0, True), (1, False)):
        out = io.BytesIO()
        with tifffile.TiffWriter(out) as writer:
            writer.write(samples, photometric="rgb", metadata=None)
            writer.write(samples[::2, ::2], photometric="rgb", metadata=None, subfiletype=kind)
        if refused:
            with pytest.raises(InputError, match="more than one picture"):
                photo.read(out.getvalue())
        else:
            found = photo.read(out.getvalue())
            np.testing.assert_array_equal(np.rint(found.pixels * 255), samples)
            assert "left out" in found.notes[0]


REFUSED = {
    "lab": ({"t262": 8}, "CIELAB"),
    "raw": ({"t262": 32803}, "camera raw"),
    "signed": ({"t339": 2}, "signed integers of 16 bits"),
    "32-bit integers": ({"t258": 32}, "unsigned integers of 32 bits"),
    "12-bit": ({"t258": 12}, "unsigned integers of 12 bits"),
    "twenty channels": ({"t277": 20}, "20 channels"),
    "strip height": ({"t278": 0}, "no sensible size"),
    "too few strips": ({"t278": 1}, "not listed"),
    "reversed bits": ({"t266": 2}, "FillOrder"),
    "unknown predictor": ({"t317": 7}, "unknown predictor 7"),
    "JPEG 2000": ({"t259": 34712}, "packed with JPEG 2000"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_say_why(make: SimpleNamespace, kind: str) -> None:
    tags, reason = REFUSED[kind]
    samples = make.random((8, 8, 3), np.uint16)
    with pytest.raises(InputError, match=reason):
        photo.read(by_hand(samples, [samples.tobytes()], 8, **tags))


@pytest.mark.parametrize(
    ("dtype", "tags", "told"),
    [
        (np.uint16, {"t259": 34712}, "its 16-bit samples are packed with JPEG 2000, which is not read here; save it with LZW or Deflate"),
        (np.uint8, {"t259": 50002}, "its 8-bit samples are packed with JPEG XL, which is not read here; save it with LZW or Deflate"),
        (np.uint8, {"t259": 50013}, "its 8-bit samples are packed with an unknown compression (50013), which is not read here; "
         "save it with LZW or Deflate"),
        (np.uint16, {"t262": 6}, "its colours are YCbCr, which is not read with 16 bits; convert it to RGB first"),
        (np.uint8, {"t339": 2}, "its samples are signed integers of 8 bits, which are not read; convert them to 8 or 16 bits without sign, "
         "or to floats of 32 bits"),
        (np.uint8, {"t262": 8}, "its colours are CIELAB; convert it to RGB first"),
        (np.uint8, {"t32997": 4}, "it holds more than one picture; split its pages into files first"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named_with_what_to_do(
    make: SimpleNamespace, dtype: type, tags: dict[str, int], told: str
) -> None:
    samples = make.random((8, 8, 3), dtype)
    with pytest.raises(InputError) as error:
        photo.read(by_hand(samples, [samples.tobytes()], 8, **tags))
    assert str(error.value) == f"<bytes>: cannot be read as TIFF: {told}"


def test_damage_is_refused(make: SimpleNamespace) -> None:
    samples = make.random((8, 8, 3), np.uint16)
    good = by_hand(samples, [samples.tobytes()], 8)
    photo.read(good)
    with pytest.raises(InputError, match="cut short"):
        photo.read(good[:-1])
    with pytest.raises(InputError, match="cut short"):
        photo.read(by_hand(samples, [samples.tobytes()[:-2]], 8))
    with pytest.raises(InputError, match="white level"):
        photo.read(make.tiff(samples.astype(np.float32)))
    with pytest.raises(InputError, match="cannot be read as TIFF"):
        photo.read(by_hand(samples, [b"this is no LZW stream"], 8, t259=5))


def test_a_big_endian_block_without_directories_keeps_its_numbers(make: SimpleNamespace) -> None:
    block = b"MM\0*\0\0\0\x08" + struct.pack(">H", 2)
    block += struct.pack(">HHIHH", 0x0112, 3, 1, 1, 0) + struct.pack(">HHIHH", 0x4746, 3, 1, 5, 0) + bytes(4)
    found = photo.read(make.pillow(make.smooth(8, 8), "JPEG", exif=b"Exif\0\0" + block))
    out = io.BytesIO()
    photo.write(found, found.pixels, out, "TIFF")
    with tifffile.TiffFile(io.BytesIO(out.getvalue())) as file:
        tags = file.pages[0].tags
        assert (tags[0x0112].value, tags[0x4746].value) == (1, 5)
