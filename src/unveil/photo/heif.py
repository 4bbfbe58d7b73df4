"""AVIF and HEIC, of more than eight bits per sample too, and what their boxes tell beside the picture.

imagecodecs encodes AVIF of 10 and 12 bits; profile, EXIF and XMP, which it leaves out, are put into the boxes here.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from unveil.photo import exif, isobmff, pillow
from unveil.photo.encoding import BOXED_BITS, QUALITY, Picture, image_of, save
from unveil.photo.header import Header
from unveil.photo.record import Decoded, parted
from unveil.util.extras import codecs, needed

# Of BT.601, as for 8 bits; primaries and transfer are sRGB's, or not stated where a profile says them (ITU-T H.273).
_MATRIX, _SRGB, _UNSTATED = 6, (1, 13), (2, 2)
_SPEED = 6


def encode_deep_avif(picture: Picture) -> bytes:
    """An AVIF of 16-bit samples at the bits that they really have, 10 where they have all. imagecodecs must be there."""
    bits = picture.bits or BOXED_BITS
    whole = np.rint(picture.whole * np.float32((2**bits - 1) / 65535)).astype(np.uint16)
    primaries, transfer = _UNSTATED if picture.icc else _SRGB
    data = codecs("AVIF").avif_encode(
        whole[..., 0] if whole.shape[2] == 1 else whole,
        # The level covers alpha too, and only 100 leaves it untouched.
        level=QUALITY if picture.alpha is None else 100,
        speed=_SPEED,
        bitspersample=bits,
        pixelformat="400" if picture.samples.shape[2] == 1 else "444",
        primaries=primaries,
        transfer=transfer,
        matrix=_MATRIX,
        numthreads=1,
    )
    return with_metadata(data, picture.icc, picture.exif, picture.xmp)


def with_metadata(data: bytes, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """An AVIF as libavif writes it (file type, tables, then all data) with a profile and further items (ISO/IEC 23008-12, Annex A).

    Raises ValueError for another layout.
    """
    items = [
        (kind, rest, content)
        for kind, rest, content in (
            (b"Exif", b"Exif\0", exif and bytes(4) + exif),
            (b"mime", b"XMP\0application/rdf+xml\0", xmp),
        )
        if content
    ]
    parts = {kind: data[start:end] for kind, start, end in isobmff.boxes(data, 0, len(data))}
    if list(parts) != [b"ftyp", b"meta", b"mdat"]:
        raise ValueError(f"an AVIF with the boxes {list(parts)} was encoded")
    tables = {
        kind: parts[b"meta"][start:end] for kind, start, end in isobmff.boxes(parts[b"meta"], 4, len(parts[b"meta"]))
    }
    primary = int.from_bytes(tables[b"pitm"][4:6], "big")
    known = int.from_bytes(tables[b"iinf"][4:6], "big")
    numbers = range(known + 1, known + 1 + len(items))
    if items:
        entries = [
            _box(b"infe", struct.pack(">IHH", 2 << 24, number, 0) + kind + rest)
            for number, (kind, rest, _) in zip(numbers, items, strict=True)
        ]
        tables[b"iinf"] = bytes(4) + struct.pack(">H", known + len(items)) + tables[b"iinf"][6:] + b"".join(entries)
        described = [_box(b"cdsc", struct.pack(">HHH", number, 1, primary)) for number in numbers]
        tables[b"iref"] = tables.get(b"iref", bytes(4)) + b"".join(described)
    if icc:
        tables[b"iprp"] = _with_profile(tables[b"iprp"], icc, primary)
    more = [(number, len(content)) for number, (_, _, content) in zip(numbers, items, strict=True)]
    # Twice: where things lie depends on how long the tables are, and not on what they say.
    tables[b"iloc"] = _moved(parts[b"meta"], 0, more, len(data))
    longer = 4 + sum(len(content) + 8 for content in tables.values()) - len(parts[b"meta"])
    tables[b"iloc"] = _moved(parts[b"meta"], longer, more, len(data))
    meta = _box(b"meta", parts[b"meta"][:4] + b"".join(_box(kind, content) for kind, content in tables.items()))
    body = parts[b"mdat"] + b"".join(content for _, _, content in items)
    return _box(b"ftyp", parts[b"ftyp"]) + meta + _box(b"mdat", body)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _moved(meta: bytes, shift: int, more: list[tuple[int, int]], at: int) -> bytes:
    """The table of places of the box `meta` for data that is moved `shift` bytes on, with `more` items behind it, from `at` before the
    move on.

    Of version 0, with places and lengths of 4 bytes; raises ValueError for another. more: number and length of each item.
    """
    place = next(start for kind, start, _ in isobmff.boxes(meta, 4, len(meta)) if kind == b"iloc")
    if meta[place : place + 6] != b"\0\0\0\0\x44\0":
        raise ValueError("an AVIF with an unknown table of places was encoded")
    (count,) = struct.unpack_from(">H", meta, place + 6)
    entries, where = [], place + 8
    for _ in range(count):
        number, source, extents = struct.unpack_from(">HHH", meta, where)
        spans = struct.unpack_from(f">{2 * extents}I", meta, where + 6)
        where += 6 + 8 * extents
        moved = [value if index % 2 else value + shift for index, value in enumerate(spans)]
        entries.append(struct.pack(f">HHH{2 * extents}I", number, source, extents, *moved))
    for number, length in more:
        entries.append(struct.pack(">HHHII", number, 0, 1, at + shift, length))
        at += length
    return b"\0\0\0\0\x44\0" + struct.pack(">H", len(entries)) + b"".join(entries)


def _with_profile(properties: bytes, icc: bytes, primary: int) -> bytes:
    """The content of the box of properties with one more: the profile of the primary item (associations of version 0, one byte each)."""
    inner = {kind: properties[start:end] for kind, start, end in isobmff.boxes(properties, 0, len(properties))}
    number = len(list(isobmff.boxes(inner[b"ipco"], 0, len(inner[b"ipco"])))) + 1
    table = inner[b"ipma"]
    if table[:4] != bytes(4) or number > 127:
        raise ValueError("an AVIF with an unknown table of properties was encoded")
    entries, at = b"", 8
    for _ in range(int.from_bytes(table[4:8], "big")):
        item, count = struct.unpack_from(">HB", table, at)
        own = table[at + 3 : at + 3 + count] + (bytes([number]) if item == primary else b"")
        entries += struct.pack(">HB", item, len(own)) + own
        at += 3 + count
    inner[b"ipco"] += _box(b"colr", b"prof" + icc)
    inner[b"ipma"] = table[:8] + entries
    return b"".join(_box(kind, content) for kind, content in inner.items())


def decode(data: bytes, header: Header) -> Decoded:
    """Samples at the file's own depth and its metadata. Raises ValueError, or whatever the decoders raise."""
    deep = _deep_decoder(header)
    found = pillow.decode(data, header, None if deep is None else lambda: deep(data))
    if header.grey and found.samples.shape[2] == 3:
        found.samples, found.mode = found.samples[..., :1], found.mode.replace("RGB", "L")
    about = isobmff.contents(data)
    found.cicp = about.cicp
    found.bits = header.bits if found.samples.dtype == np.uint16 else 0
    if header.bits > 8 and not found.bits:
        found.notes += (
            f"its {header.bits}-bit samples were read with 8 bits: pip install imagecodecs for all of them",
        )
    if about.others:
        found.left_out += (f"left out, since only one picture is restored: {', '.join(about.others)}",)
    return found


def _deep_decoder(header: Header) -> Any:
    if header.bits <= 8:
        return None
    if header.format == "HEIF":
        return _deep_heif
    return _deep_avif if codecs("AVIF") is not None else None


def _deep_avif(data: bytes) -> Decoded:
    samples = codecs("AVIF").avif_decode(data, index=0, numthreads=1)
    return _stretched(samples, isobmff.properties(data)[2])


def _deep_heif(data: bytes) -> Decoded:
    opened = heif().open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = opened[opened.primary_index]
    return _stretched(np.asarray(image), image.info.get("bit_depth", 8))


def _stretched(samples: np.ndarray, bits: int) -> Decoded:
    """Samples of 9 to 15 bits as 16 bits from 0 to 65535, so that white is white."""
    if samples.dtype == np.uint16 and bits < 16:
        # bits: of the largest value that there can be; the product is exact in 32 bits.
        top = np.uint32(2**bits - 1)
        samples = ((samples.astype(np.uint32) * np.uint32(65535) + top // 2) // top).astype(np.uint16)
    colours, alpha = parted(samples)
    return Decoded(colours, ("L" if colours.shape[2] == 1 else "RGB") + ("" if alpha is None else "A"), alpha)


def heif() -> Any:
    """The module `pillow_heif`. Raises InputError where it is not installed."""
    return needed("pillow_heif", "HEIC needs a further package", "heic")


def encode_heif(picture: Picture) -> bytes:
    """A HEIC of 8 bits, or of 10 or 12 where the samples have 16."""
    deep = picture.samples.dtype == np.uint16
    if deep:
        image = _deep_image(picture)
    else:
        plain = image_of(picture)
        if picture.samples.shape[2] == 1 and picture.alpha is not None:
            plain = plain.convert("LA")  # which is written as one grey plane and one of alpha
        image = heif().from_pillow(plain)
    for name, block in (("exif", picture.exif), ("xmp", picture.xmp), ("icc_profile", picture.icc)):
        if block:
            image.info[name] = block
    if picture.icc:
        image.info["icc_profile_type"] = "prof"
    out = io.BytesIO()
    # The quality covers alpha too, and only -1 (without loss but for the colours' own conversion) leaves it untouched.
    # x265's slower presets double the time for three per cent of the size.
    image.save(out, quality=QUALITY if picture.alpha is None else -1, enc_params={"preset": "medium"})
    return out.getvalue()


def _deep_image(picture: Picture) -> Any:
    bits = picture.bits or BOXED_BITS
    samples = picture.samples if picture.alpha is None else picture.rgba
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    whole = np.rint(samples * np.float32((2**bits - 1) / 65535)).astype(np.uint16)
    return heif().from_bytes(f"{mode};{bits}", (samples.shape[1], samples.shape[0]), whole.tobytes())


class _Verbatim(Image.Exif):
    """A block that Pillow writes as it is; it would put it together anew, and maker notes point at fixed places in it."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self._block = block

    def __bool__(self) -> bool:
        return True  # it has no entries of its own

    def tobytes(self, offset: int = 8) -> bytes:
        return exif.PREFIX + self._block


def encode_avif(picture: Picture) -> bytes:
    """An AVIF of 8 bits, or of 10 or 12 where the samples have 16."""
    if picture.exif and exif.opened_block(picture.exif) is None:
        picture.notes.append("EXIF left out: it is damaged, and AVIF takes sound blocks only")
        picture.exif = None
    if picture.samples.dtype == np.uint16:
        return encode_deep_avif(picture)
    # The quality covers alpha too, and only 100 leaves it untouched.
    options: dict = {"quality": QUALITY if picture.alpha is None else 100, "subsampling": "4:4:4"}
    if picture.samples.shape[2] == 1:
        options["subsampling"] = "4:0:0"
    if picture.exif:
        options["exif"] = _Verbatim(picture.exif)
    return save(picture, "AVIF", {**options, "xmp": picture.xmp or b""})
