"""TIFF at its own depth: 8 and 16 bits and floats, which Pillow reads as 8 bits or not at all.

Which of its directories is the picture; where its samples lie and how they are packed (TIFF 6.0, sections 2 to 15; supplement 3 for
floats); its metadata, whose EXIF is gathered on reading and put in front on writing (`photo.exif`).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from unveil.photo import icc, metadata, pillow, png
from unveil.photo.encoding import Picture
from unveil.photo.exif import EXIF_IFD, GPS_IFD, Entry, Tiff, gather, in_order, open_tiff, put_in_front, split
from unveil.photo.header import Header
from unveil.photo.record import Decoded, NotRead
from unveil.photo.srgb import D65, SRGB_PRIMARIES
from unveil.util.extras import codecs
from unveil.util.quiet import unlimited

SUBFILE, OLD_SUBFILE, SUB_IFDS, DNG_VERSION, PHOTOMETRIC = 254, 255, 330, 50706, 262
# Colour filter array, and linear raw.
SENSOR = (32803, 34892)
MOST_PAGES = 64
IMAGE_DEPTH = 32997
"""Of a volume: how many pictures lie behind each other."""


@dataclass(frozen=True)
class Pages:
    """offset, tags: of the picture's directory. first: the tags of directory 0, where metadata is. reduced, others: how many further
    copies and masks, and how many further pictures there are. raw: whether sensor data is among them.
    """

    offset: int
    tags: dict[int, Entry]
    first: dict[int, Entry]
    reduced: int
    others: int
    raw: bool


def pages(tiff: Tiff) -> Pages:
    """Look through a file's directories. Raises ValueError where the first one cannot be read."""
    first, _ = tiff.directory(tiff.first)
    found = [(tiff.first, first, False), *_following(tiff)]
    full = [page for page in found if not _is_reduced(tiff, page[1])]
    # Before the pages that follow, the picture of a reduced first page is its own.
    offset, tags, nested = full[0] if full else max(found, key=lambda page: _size(tiff, page[1]))
    others = sum(not sub for _, _, sub in full) - (not nested) if full else 0
    raw = DNG_VERSION in first or tiff.data[8:10] == b"CR"
    raw = raw or any(tiff.integer(page[1], PHOTOMETRIC, 0) in SENSOR for page in found)
    return Pages(offset, tags, first, len(found) - 1 - others, others, raw)


def _following(tiff: Tiff) -> Iterator[tuple[int, dict[int, Entry], bool]]:
    """Sub-directories of each page after it, then the next page: (offset, tags, whether it lies within another)."""
    seen = {tiff.first}
    tags, following = tiff.directory(tiff.first)
    while True:
        for offset in tiff.integers(tags, SUB_IFDS)[:MOST_PAGES]:
            if offset in seen:
                continue
            seen.add(offset)
            try:
                yield offset, tiff.directory(offset)[0], True
            except ValueError:
                continue
        if not following or following in seen or len(seen) > MOST_PAGES:
            return
        seen.add(following)
        try:
            tags, beyond = tiff.directory(following)
        except ValueError:
            return
        yield following, tags, False
        following = beyond


def _is_reduced(tiff: Tiff, tags: dict[int, Entry]) -> bool:
    """A reduced copy or a mask, by the new tag or the old one (TIFF 6.0, sections 8 and 12)."""
    return bool(tiff.integer(tags, SUBFILE, 0) & 0b101) or tiff.integer(tags, OLD_SUBFILE, 1) == 2


def _size(tiff: Tiff, tags: dict[int, Entry]) -> int:
    return tiff.integer(tags, 256, 0) * tiff.integer(tags, 257, 0)


DEFLATE = (8, 32946)
# Through libtiff inside Pillow: LZW, PackBits, LZMA, Zstandard.
LIBTIFF = (5, 32773, 34925, 50000)
GREY_INVERTED, GREY, RGB, CMYK = 0, 1, 2, 5
BASE_CHANNELS = {GREY_INVERTED: 1, GREY: 1, RGB: 3, CMYK: 4}
WEBP = 50001
PACKED = {
    6: "JPEG", 7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR",
    WEBP: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""What compressions are called that are not read, or not at every depth."""
KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
OTHER_COLOURS = {
    4: "a mask",
    8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "camera raw (CFA)", 34892: "camera raw (linear)", 32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
ALPHA_KINDS = {1: "premultiplied", 2: "straight"}
UNSPECIFIED = 0
MOST_EXTRA = 16


@dataclass(frozen=True)
class Layout:
    """One page, cut into blocks (strips or tiles) of block_height x block_width pixels.

    dtype: of a sample, in the file's byte order. planes: 1 where channels are interleaved, else the number of channels.
    positions: (offset, bytes) of each block. extra: what each channel beside the colours is (ExtraSamples): 0 unspecified, 1 alpha that
    colours are multiplied by, 2 alpha.
    """

    width: int
    height: int
    channels: int
    dtype: str
    photometric: int
    compression: int
    predictor: int
    tiled: bool
    block_height: int
    block_width: int
    planes: int
    positions: tuple[tuple[int, int], ...]
    extra: tuple[int, ...]

    @property
    def block_channels(self) -> int:
        """Channels within one block."""
        return 1 if self.planes > 1 else self.channels


def colours(tiff: Tiff, tags: dict[int, Entry]) -> int:
    """The photometric interpretation. Raises ValueError for colour spaces that are not pictures to us (Lab, raw sensor data)."""
    photometric = tiff.integer(tags, 262, GREY_INVERTED)
    if photometric in OTHER_COLOURS:
        raise NotRead(f"its colours are {OTHER_COLOURS[photometric]}; convert it to RGB first")
    return photometric


def layout(tiff: Tiff, tags: dict[int, Entry]) -> Layout | None:
    """How to read this page here, or None where Pillow should (palettes, fax, JPEG inside TIFF, fewer than 8 bits).

    Raises ValueError for what cannot be read here, with the reason.
    """
    photometric = colours(tiff, tags)
    compression = tiff.integer(tags, 259, 1)
    bits = set(tiff.integers(tags, 258) or (1,))
    formats = set(tiff.integers(tags, 339) or (1,))
    width, height = tiff.integer(tags, 256, 0), tiff.integer(tags, 257, 0)
    packed = compression not in (1, *DEFLATE, *LIBTIFF)
    if packed and (max(bits) > 8 or compression not in TiffImagePlugin.COMPRESSION_INFO):
        raise _not_unpacked(compression, max(bits))
    if photometric not in BASE_CHANNELS or packed or bits <= {1, 2, 4}:
        if max(bits) > 8:
            what = {3: "a palette", 6: "YCbCr"}.get(photometric, f"of an unknown kind ({photometric})")
            raise NotRead(f"its colours are {what}, which is not read with {max(bits)} bits; convert it to RGB first")
        return None
    if len(bits) > 1 or len(formats) > 1:
        raise NotRead("its channels differ in depth; convert them to one depth first")
    sort, depth = formats.pop(), bits.pop()
    kind = {1: "u", 3: "f"}.get(sort)
    if (kind, depth) not in (("u", 8), ("u", 16), ("f", 16), ("f", 32), ("f", 64)):
        raise NotRead(
            f"its samples are {KINDS.get(sort, 'of an unknown kind')} of {depth} bits, which are not read; convert them to 8 or 16 bits "
            "without sign, or to floats of 32 bits"
        )
    if tiff.integer(tags, 266, 1) != 1:
        raise NotRead("its bits are stored in reverse order (FillOrder 2); save it again from an image editor")
    channels = tiff.integer(tags, 277, 1)
    extra = channels - BASE_CHANNELS[photometric]
    if not 0 <= extra <= MOST_EXTRA:
        raise NotRead(
            f"it has {channels} channels, and at most {MOST_EXTRA} beside the colours are read; leave some out"
        )
    sorts = (*tiff.integers(tags, 338)[:extra], *[UNSPECIFIED] * extra)[:extra]
    planes = channels if tiff.integer(tags, 284, 1) == 2 else 1
    tiled = 322 in tags
    block_width = tiff.integer(tags, 322, 0) if tiled else width
    block_height = tiff.integer(tags, 323, 0) if tiled else min(tiff.integer(tags, 278, height), height)
    if min(block_width, block_height) < 1 or max(block_width, block_height) > max(width, height) + 65536:
        raise ValueError("its strips or tiles have no sensible size; the file is damaged")
    across, down = -(-width // block_width), -(-height // block_height)
    return Layout(
        width, height, channels, f"{tiff.endian}{kind}{depth // 8}", photometric, compression, tiff.integer(tags, 317, 1), tiled,
        block_height, block_width, planes, _positions(tiff, tags, tiled, across * down * planes),
        sorts,
    )  # fmt: skip


def _not_unpacked(compression: int, bits: int) -> NotRead:
    called = PACKED.get(compression, f"an unknown compression ({compression})")
    return NotRead(
        f"its {bits}-bit samples are packed with {called}, which is not read here; save it with LZW or Deflate"
    )


def _positions(tiff: Tiff, tags: dict[int, Entry], tiled: bool, count: int) -> tuple[tuple[int, int], ...]:
    offsets = tiff.integers(tags, 324 if tiled else 273)
    sizes = tiff.integers(tags, 325 if tiled else 279)
    if len(offsets) < count or len(sizes) < count:
        raise ValueError("pieces of the picture are not listed; the file is damaged")
    found = tuple(zip(offsets[:count], sizes[:count], strict=True))
    if any(offset < 8 or size < 1 or offset + size > len(tiff.data) for offset, size in found):
        raise ValueError("pieces of the picture lie outside the file; it is cut short")
    return found


ICC_TAG, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, LAYERS_TAG = 34675, 700, 33723, 34377, 37724
# GeoTIFF 1.1, annex G, and GDAL's own: where the picture lies on earth.
GEOGRAPHIC = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

# Compressions and what imagecodecs calls them.
_CODECS = {5: "lzw", 8: "zlib", 32946: "zlib", 32773: "packbits", 50000: "zstd"}
MODES = {GREY_INVERTED: "L", GREY: "L", RGB: "RGB", CMYK: "CMYK"}


def decode(data: bytes, header: Header) -> Decoded:
    """The picture and its metadata. Raises ValueError with the reason where it can't be read, or holds more than one picture."""
    tiff = open_tiff(data)
    about = pages(tiff)
    if about.others or tiff.integer(about.tags, IMAGE_DEPTH, 1) > 1:
        raise NotRead("it holds more than one picture; split its pages into files first")
    plan = layout(tiff, about.tags)
    if plan is None:
        # Pillow reads the first directory, and turns the picture upright on loading and forgets that it did.
        try:
            found = pillow.decode(_beginning_at(tiff, about.offset), header)
        except OSError as error:
            if (compression := tiff.integer(about.tags, 259, 1)) != WEBP:
                raise
            raise _not_unpacked(compression, header.bits) from error  # by most libtiffs
        found.orientation = 1
    else:
        found = _decode_here(data, plan)
    tags = about.first | about.tags
    found.icc, found.xmp = _raw(tiff, tags, ICC_TAG) or _chromatic(tiff, tags), _raw(tiff, tags, XMP_TAG)
    found.exif, notes = gather(tiff, tags)
    found.dpi, found.notes = _dpi(tiff, tags), (*found.notes, *notes, *_left_out(about))
    found.extra = (*metadata.of_tiff(_raw(tiff, tags, PHOTOSHOP_TAG), _raw(tiff, tags, IPTC_TAG)), *_places(tiff, tags))
    return found


def _beginning_at(tiff: Tiff, offset: int) -> bytes:
    """The file with its header pointing at another directory."""
    if offset == tiff.first:
        return tiff.data
    at, form = (8, "Q") if tiff.big else (4, "I")
    field = struct.pack(tiff.endian + form, offset)
    return tiff.data[:at] + field + tiff.data[at + len(field) :]


def _left_out(about: Pages) -> Iterator[str]:
    if about.reduced:
        yield f"{about.reduced} reduced copies or masks inside the TIFF are left out"
    if LAYERS_TAG in about.tags:
        yield "Photoshop's layers are left out: they are not restored"


def _places(tiff: Tiff, tags: dict[int, Entry]) -> Iterator[tuple[str, bytes]]:
    """Tags that say where the picture lies on earth, as `captions` has them."""
    for tag in GEOGRAPHIC:
        if tag in tags and tags[tag].type < 16:  # wider types exist in BigTIFF alone
            entry = tags[tag]
            raw = in_order(entry.raw(tiff.data), entry.type, tiff.endian == ">")
            yield metadata.TIFF, struct.pack("<HHI", tag, entry.type, entry.count) + raw


def _chromatic(tiff: Tiff, tags: dict[int, Entry]) -> bytes | None:
    """A profile of the primaries and the white that tags state (TIFF 6.0, section 20), None where they say sRGB or nothing."""
    white, points = tiff.values(tags.get(318)), tiff.values(tags.get(319))
    if len(white) != 2 or len(points) != 6 or tiff.integer(tags, 262, 0) != RGB:
        return None
    stated = np.array((white, points[:2], points[2:4], points[4:]), float)
    if not np.isfinite(stated).all() or np.abs(stated - np.array((D65, *SRGB_PRIMARIES))).max() < png.SAME_PLACE:
        return None
    try:
        colours = tuple((float(x), float(y)) for x, y in stated[1:])
        return icc.chromatic("TIFF colours", colours, (float(white[0]), float(white[1])), icc.SRGB_CURVE)
    except (ValueError, struct.error):
        return None


def _decode_here(data: bytes, plan: Layout) -> Decoded:
    samples = _assemble(data, plan)
    base = BASE_CHANNELS[plan.photometric]
    which = next((n for n, kind in enumerate(plan.extra) if kind in ALPHA_KINDS), None)
    alpha = None if which is None else np.ascontiguousarray(samples[..., base + which])
    rest = [base + n for n in range(len(plan.extra)) if n != which]
    colours = np.ascontiguousarray(samples[..., :base])
    if plan.photometric == GREY_INVERTED:
        colours = np.iinfo(colours.dtype).max - colours if colours.dtype.kind == "u" else 1 - colours
    found = Decoded(colours, MODES[plan.photometric] + ("A" if alpha is not None else ""), alpha)
    found.alpha_kind = "straight" if which is None else ALPHA_KINDS[plan.extra[which]]
    found.others = np.ascontiguousarray(samples[..., rest]) if rest else None
    return found


def _raw(tiff: Tiff, tags: dict[int, Entry], tag: int) -> bytes | None:
    return (tags[tag].raw(tiff.data) or None) if tag in tags else None


def _dpi(tiff: Tiff, tags: dict[int, Entry]) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(tiff.integer(tags, 296, 2))
    x, y = tiff.values(tags.get(282)), tiff.values(tags.get(283))
    return (float(x[0]) * unit, float(y[0]) * unit) if unit and x and y else None


def _assemble(data: bytes, plan: Layout) -> np.ndarray:
    """(H, W, channels) samples in native byte order, from strips or tiles, interleaved or in planes."""
    dtype = np.dtype(plan.dtype)
    out = np.empty((plan.height, plan.width, plan.channels), dtype.newbyteorder("="))
    across, down = -(-plan.width // plan.block_width), -(-plan.height // plan.block_height)
    row = plan.block_width * plan.block_channels * dtype.itemsize
    # Tiles are padded to full size; of the last strip only what the picture needs is asked for, since files differ in padding it.
    heights = [
        plan.block_height if plan.tiled else min(plan.block_height, plan.height - y * plan.block_height)
        for y in range(down)
    ]
    blocks = _unpack(data, plan, row, [height for height in heights for _ in range(across)])
    for index, block in enumerate(blocks):
        plane, place = divmod(index, across * down)
        y, x = divmod(place, across)
        piece = _undo_predictor(block, plan, dtype).astype(out.dtype, copy=False)
        top, left = y * plan.block_height, x * plan.block_width
        target = out[top : top + plan.block_height, left : left + plan.block_width]
        if plan.planes > 1:
            target[..., plane] = piece[: target.shape[0], : target.shape[1], 0]
        else:
            target[...] = piece[: target.shape[0], : target.shape[1]]
    return out


def _unpack(data: bytes, plan: Layout, row: int, heights: list[int]) -> list[np.ndarray]:
    """The bytes of each block as (rows, row) uint8, predictor still applied. heights: of the blocks of one plane."""
    count = len(heights)
    fast = _fast(data, plan, [row * height for height in heights * plan.planes])
    if fast is not None:
        return [
            np.frombuffer(block, np.uint8).reshape(height, row)
            for block, height in zip(fast, heights * plan.planes, strict=True)
        ]
    if plan.compression in LIBTIFF:
        planes = [plan.positions[p * count : (p + 1) * count] for p in range(plan.planes)]
        return [block for plane in planes for block in _through_libtiff(data, plan.compression, plane, row, heights)]
    out = []
    for (offset, size), height in zip(plan.positions, heights * plan.planes, strict=True):
        packed, wanted = memoryview(data)[offset : offset + size], row * height
        plain = zlib.decompressobj().decompress(packed, wanted) if plan.compression in DEFLATE else packed[:wanted]
        if len(plain) < wanted:
            raise ValueError("pixels are missing; the file is cut short")
        out.append(np.frombuffer(plain, np.uint8).reshape(height, row))
    return out


def _fast(data: bytes, plan: Layout, wanted: list[int]) -> list[bytes] | None:
    """The bytes of each block through imagecodecs; None where that is not installed, or a block is not what it should be."""
    name = _CODECS.get(plan.compression)
    library = None if name is None else codecs(name.upper())
    if library is None:
        return None
    unpack = getattr(library, f"{name}_decode")
    out = []
    try:
        for (offset, size), length in zip(plan.positions, wanted, strict=True):
            # out: never more is unpacked than that; a block may be padded by a row of another strip.
            block = unpack(memoryview(data)[offset : offset + size], out=length)
            if len(block) != length:
                return None
            out.append(block)
    except (RuntimeError, ValueError):
        return None  # the slower way says in words what is wrong
    return out


def _through_libtiff(
    data: bytes, compression: int, positions: tuple[tuple[int, int], ...], row: int, heights: list[int]
) -> list[np.ndarray]:
    """Unpack with the libtiff inside Pillow, which knows these compressions but not our sample types.

    The compressed blocks are stacked in a new TIFF that says they are rows of 8-bit grey, so what comes back are the plain bytes.
    """
    count, total = len(heights), sum(heights)
    tags = [
        (256, 4, row),
        (257, 4, total),
        (258, 3, 8),
        (259, 3, compression),
        (262, 3, 1),
        (277, 3, 1),
        (278, 4, heights[0]),
    ]
    lists = 8 + 2 + 12 * (len(tags) + 2) + 4
    start = lists + 8 * count
    offsets, at = [], start
    for _, size in positions:
        offsets.append(at)
        at += size
    sizes = [size for _, size in positions]
    if at >= 1 << 32:
        raise ValueError("it is larger than 4 GB")
    where = (offsets[0], sizes[0]) if count == 1 else (lists, lists + 4 * count)
    records = [(tag, kind, 1, value) for tag, kind, value in tags] + [
        (273, 4, count, where[0]),
        (279, 4, count, where[1]),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(records))
    head += b"".join(struct.pack("<HHII", *record) for record in sorted(records)) + bytes(4)
    head += struct.pack(f"<{2 * count}I", *offsets, *sizes)
    body = b"".join(data[offset : offset + size] for offset, size in positions)
    with unlimited(row * total), TiffImagePlugin.TiffImageFile(io.BytesIO(head + body)) as image:
        image.load()
        plain = np.asarray(image)
    edges = np.cumsum([0, *heights])
    return [plain[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _undo_predictor(block: np.ndarray, plan: Layout, dtype: np.dtype) -> np.ndarray:
    """(rows, block_width, block_channels) samples from plain bytes: differences summed along each row (TIFF 6.0, section 14)."""
    shape = (block.shape[0], plan.block_width, plan.block_channels)
    if plan.predictor == 3 and dtype.kind == "f":
        # Bytes of equal significance lie together, most significant first, and are differenced as bytes (TIFF technical note 3).
        summed = np.cumsum(block.reshape(shape[0], -1, shape[2]), axis=1, dtype=np.uint8)
        planes = summed.reshape(shape[0], dtype.itemsize, -1)
        return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(dtype.newbyteorder(">")).reshape(shape)
    samples = np.ascontiguousarray(block).view(dtype).reshape(shape)
    if plan.predictor == 2:
        whole = np.dtype(f"{dtype.byteorder}u{dtype.itemsize}")
        return np.cumsum(
            samples.view(whole).astype(whole.newbyteorder("=")), axis=1, dtype=whole.newbyteorder("=")
        ).view(dtype.newbyteorder("="))
    if plan.predictor != 1:
        raise ValueError(f"unknown predictor {plan.predictor}")
    return samples


EXTRA_SAMPLES = {"straight": "unassalpha", "premultiplied": "assocalpha"}
POINTER_NAMES = {EXIF_IFD: "ExifTag", GPS_IFD: "GPSTag"}
STRIP_BYTES = 1 << 18


def encode(picture: Picture) -> bytes:
    """A TIFF of (H, W, 1, 3 or 4) samples, alpha and further channels of the same type, losslessly compressed."""
    import tifffile  # for writing alone

    samples, exif = picture.samples, picture.exif
    channels = samples.shape[2]
    tags, directories = split(exif)
    order = open_tiff(exif).endian if exif and (tags or directories) else "<"
    extra: list[Any] = [(tag, kind, count, raw, True) for tag, kind, count, raw in tags]
    # tifffile lets these through by name alone, because it cannot know where they point.
    extra += [(POINTER_NAMES[pointer], 4, 1, at, True) for pointer, at in directories.items()]
    if picture.xmp:
        extra.append((XMP_TAG, 7, len(picture.xmp), picture.xmp, True))
    extra += _extra(picture, order == ">")
    stacked = [samples]
    kinds: list[str] = []
    if picture.alpha is not None:
        stacked.append(picture.alpha[..., None])
        kinds.append(EXTRA_SAMPLES[picture.alpha_kind])
    if picture.others is not None:
        stacked.append(picture.others)
        kinds += ["unspecified"] * picture.others.shape[2]
    whole = np.concatenate(stacked, axis=2) if kinds else samples
    whole = whole[..., 0] if whole.shape[2] == 1 else whole
    out = io.BytesIO()
    with tifffile.TiffWriter(out, byteorder=order) as writer:  # type: ignore[arg-type]
        writer.write(
            whole,
            photometric={1: "minisblack", 3: "rgb", 4: "separated"}[channels],
            planarconfig=None if whole.ndim == 2 else "contig",
            extrasamples=kinds or None,
            compression="adobe_deflate",
            # Differences of neighbours compress far better; for floats they would need a predictor that few programs know.
            predictor=samples.dtype.kind != "f",
            rowsperstrip=max(1, STRIP_BYTES // max(1, whole[0].nbytes)),
            iccprofile=picture.icc,
            resolution=picture.dpi,
            resolutionunit="INCH" if picture.dpi else None,
            metadata=None,
            software=False,
            extratags=extra,
        )
    if exif and directories:
        return put_in_front(out.getvalue(), exif)
    return out.getvalue()


def _extra(picture: Picture, swapped: bool) -> list[Any]:
    """Tags that other TIFFs and JPEGs brought along: georeferences and captions."""
    found: list[Any] = []
    for name, content in picture.extra:
        if name == metadata.TIFF:
            tag, kind, count = struct.unpack_from("<HHI", content)
            found.append((tag, kind, count, in_order(content[8:], kind, swapped), True))
    resources = metadata.resources(picture.extra)
    if resources:
        found.append((PHOTOSHOP_TAG, 7, len(resources), resources, True))
        iptc = metadata.iptc(resources)
        if iptc:
            found.append((IPTC_TAG, 7, len(iptc), iptc, True))
    return found
