"""Reading TIFF samples at their own depth: 8, 16 and floating point, which Pillow reads as 8 bits or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import TiffImagePlugin

from unveil.photo import captions, cicp, icc, pillow, png
from unveil.photo.header import Header
from unveil.photo.ifd import Entry, Tiff, open_tiff
from unveil.photo.record import Decoded
from unveil.photo.srgb import D65, SRGB_PRIMARIES
from unveil.photo.tiff_layout import (
    ALPHA_KINDS,
    BASE_CHANNELS,
    CMYK,
    DEFLATE,
    GREY,
    GREY_INVERTED,
    LIBTIFF,
    RGB,
    Layout,
    layout,
)
from unveil.photo.tiff_metadata import (
    GEOGRAPHIC,
    ICC_TAG,
    IPTC_TAG,
    LAYERS_TAG,
    PHOTOSHOP_TAG,
    XMP_TAG,
    gather,
    in_order,
)
from unveil.photo.tiff_pages import Pages, pages
from unveil.util.quiet import unlimited

# Compressions and what imagecodecs calls them.
_CODECS = {5: "lzw", 8: "zlib", 32946: "zlib", 32773: "packbits", 50000: "zstd"}
MODES = {GREY_INVERTED: "L", GREY: "L", RGB: "RGB", CMYK: "CMYK"}


def decode(data: bytes, header: Header) -> Decoded:
    """The picture and its metadata. Raises ValueError with the reason where it can't be read, or holds more than one picture."""
    tiff = open_tiff(data)
    about = pages(tiff)
    if about.others:
        raise ValueError("it holds more than one picture; split its pages into files first")
    plan = layout(tiff, about.tags)
    if plan is None:
        # Pillow reads the first directory, and turns the picture upright on loading and forgets that it did.
        found = pillow.decode(_beginning_at(tiff, about.offset), header)
        found.orientation = 1
    else:
        found = _decode_here(data, plan)
    tags = about.first | about.tags
    found.icc, found.xmp = _raw(tiff, tags, ICC_TAG) or _chromatic(tiff, tags), _raw(tiff, tags, XMP_TAG)
    found.exif, notes = gather(tiff, tags)
    found.dpi, found.notes = _dpi(tiff, tags), (*found.notes, *notes, *_left_out(about))
    found.extra = (*captions.of_tiff(_raw(tiff, tags, PHOTOSHOP_TAG), _raw(tiff, tags, IPTC_TAG)), *_places(tiff, tags))
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
            yield captions.TIFF, struct.pack("<HHI", tag, entry.type, entry.count) + raw


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
        return cicp.chromatic("TIFF colours", colours, (float(white[0]), float(white[1])), icc.SRGB_CURVE)
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
    try:
        import imagecodecs
    except ImportError:
        return None
    if name is None or not getattr(imagecodecs, name.upper()).available:
        return None
    unpack = getattr(imagecodecs, f"{name}_decode")
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
