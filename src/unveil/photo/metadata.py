"""What is written beside a picture other than EXIF: XMP packets, captions, comments, texts, georeferences; from one format to another.

In XMP what an edited picture must change is changed in place, so that all else stays as it was written.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from unveil.photo import jpeg, png

# Attribute or element form; the digits alone are replaced.
_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)[1-8](?=\s*["'<])""")
_WIDTH = re.compile(rb"""((?:exif:PixelXDimension|tiff:ImageWidth)\s*(?:=\s*["']|>)\s*)\d+(?=\s*["'<])""")
_HEIGHT = re.compile(rb"""((?:exif:PixelYDimension|tiff:ImageLength)\s*(?:=\s*["']|>)\s*)\d+(?=\s*["'<])""")
_MOTION = rb"(?:GCamera|Camera):(?:MotionPhoto|MicroVideo)\w*|(?:GCamera|Camera):VideoFile\w*"
_GAIN = rb"hdrgm:\w+|HDRGainMap:\w+|apdi:\w+"
_ITEM = re.compile(rb"<rdf:li\b[^>]*>(?:(?!</rdf:li>).)*?</rdf:li>|<rdf:li\b[^>]*/>", re.DOTALL)
_LENGTH = re.compile(rb"""(Item:Length\s*(?:=\s*["']|>)\s*)\d+""")
_DIRECTORY = re.compile(rb"<(Container|GContainer):Directory\b.*?</\1:Directory>", re.DOTALL)
_EXTENDED = re.compile(
    rb"""\s+xmpNote:HasExtendedXMP\s*=\s*(["']).*?\1|<xmpNote:HasExtendedXMP>.*?</xmpNote:HasExtendedXMP>"""
)
_TREE = re.compile(rb"<rdf:RDF\b([^>]*)>(.*)</rdf:RDF>", re.DOTALL)
_NAMESPACE = re.compile(rb"""xmlns:(\w+)\s*=\s*(["']).*?\2""")
_PANORAMA = re.compile(rb"""GPano:(FullPanoWidthPixels|CroppedAreaImageWidthPixels)\s*(?:=\s*["']|>)\s*(\d{1,9})""")
# A segment of extended XMP: its name, the digest of the whole, the length of the whole, where the part begins.
_HEAD, _DIGEST = 35, 32


def settle(packet: bytes | None, width: int, height: int, *, motion: bool = False, gain: int = 0) -> bytes | None:
    """The packet for an upright picture of this size; what it says of a clip or a gain map only where that is still there.

    gain: bytes of the gain map behind the picture, 0 for none.
    """
    if not packet:
        return packet
    packet = _ORIENTATION.sub(rb"\g<1>1", packet)
    packet = _WIDTH.sub(rb"\g<1>%d" % width, packet)
    packet = _HEIGHT.sub(rb"\g<1>%d" % height, packet)
    gone = [semantic for semantic, there in ((b"MotionPhoto", motion), (b"GainMap", gain > 0)) if not there]
    if not motion:
        packet = _without(packet, _MOTION)
    if not gain:
        packet = _without(packet, _GAIN)
    packet = _DIRECTORY.sub(lambda found: _kept_items(found[0], gone), packet)
    return _ITEM.sub(
        lambda found: _LENGTH.sub(rb"\g<1>%d" % gain, found[0]) if b"GainMap" in found[0] else found[0], packet
    )


def semantics(packet: bytes | None) -> tuple[bool, bool]:
    """Whether a packet announces a motion photo's clip, and a gain map."""
    packet = packet or b""
    motion = re.search(rb"""(?:MotionPhoto|MicroVideo)\s*(?:=\s*["']|>)\s*1|Semantic\s*=\s*["']MotionPhoto""", packet)
    gain = re.search(rb"""hdrgm:Version|HDRGainMapVersion|Semantic\s*=\s*["']GainMap""", packet)
    return bool(motion), bool(gain)


def goes_round(packet: bytes | None, width: int) -> bool:
    """Whether a packet tells of a panorama of 360 degrees across `width` pixels: equirectangular, and no part of a larger one (GPano)."""
    if not packet or not re.search(rb"""GPano:ProjectionType\s*(?:=\s*["']|>)\s*equirectangular""", packet):
        return False
    sizes = {name: int(number) for name, number in _PANORAMA.findall(packet)}
    # Of a scaled copy the numbers may be the original's; what counts is that nothing is cropped.
    full = sizes.get(b"FullPanoWidthPixels", width)
    return sizes.get(b"CroppedAreaImageWidthPixels", width) == full


def _without(packet: bytes, names: bytes) -> bytes:
    packet = re.sub(rb"<(" + names + rb")\b[^>]*/>", b"", packet)
    packet = re.sub(rb"<(" + names + rb")\b[^>]*>.*?</\1>", b"", packet, flags=re.DOTALL)
    return re.sub(rb"""\s+(?:""" + names + rb""")\s*=\s*(?:"[^"]*"|'[^']*')""", b"", packet)


def _kept_items(directory: bytes, gone: list[bytes]) -> bytes:
    """A container's directory without the items that are not in the file any more; nothing where the picture alone is left."""
    items = _ITEM.findall(directory)
    left = [item for item in items if not any(name in item for name in gone)]
    if len(left) <= 1:
        return b""
    for item in items:
        if item not in left:
            directory = directory.replace(item, b"")
    return directory


def merged(packet: bytes | None, segments: list[bytes]) -> tuple[bytes | None, bool]:
    """One packet of a main one and its extended part (XMP, part 3, section 1.1.3.1), and whether that part was whole."""
    parts: dict[bytes, dict[int, bytes]] = {}
    lengths: dict[bytes, int] = {}
    for segment in segments:
        digest = segment[_HEAD : _HEAD + _DIGEST]
        if len(segment) >= _HEAD + _DIGEST + 8:
            lengths[digest], start = struct.unpack_from(">II", segment, _HEAD + _DIGEST)
            parts.setdefault(digest, {})[start] = segment[_HEAD + _DIGEST + 8 :]
    main = packet or b""
    for digest, pieces in parts.items():
        whole = b"".join(pieces[start] for start in sorted(pieces))
        more, tree = _TREE.search(whole), _TREE.search(main)
        if digest not in main or len(whole) != lengths[digest] or more is None or tree is None:
            continue
        # Names that the extended part declares above its descriptions are declared on the tree that they move into.
        known = {found[1] for found in _NAMESPACE.finditer(main[: tree.start(2)])}
        names = {n[1]: n[0] for n in _NAMESPACE.finditer(whole[: more.start(2)]) if n[1] not in known}
        declared = b"".join(b" " + text for text in names.values())
        end, head = tree.end(2), tree.end(1)
        main = main[:head] + declared + main[head:end] + more[2] + main[end:]
        return _EXTENDED.sub(b"", main), True
    return (_EXTENDED.sub(b"", main) or packet), False


PHOTOSHOP = b"Photoshop 3.0\0"
IPTC_RESOURCE = 0x0404
# Thumbnails in Photoshop's blocks: they show the picture before it was restored.
THUMBNAILS = (0x0409, 0x040C)
# A piece of `extra` that is a TIFF tag: number, type, count and the bytes, little-endian.
TIFF = "TIFF"
# The clip of a motion photo, and a gain map: what lies behind a JPEG.
TAIL, GAIN = "TAIL", "GAIN"
Pieces = tuple[tuple[str, bytes], ...]


def carried(
    pieces: Pieces, packet: bytes | None, source: str, target: str
) -> tuple[Pieces, bytes | None, tuple[str, ...]]:
    """The pieces as `target` holds them, the XMP packet with what had to move into it, and what was left out, in words."""
    kept: list[tuple[str, bytes]] = []
    lost: dict[str, None] = {}
    extended = [content for name, content in pieces if name == "APP1"]
    if extended and target != "JPEG":
        packet, whole = merged(packet, extended)
        if not whole:
            lost["the extended part of its XMP"] = None
    for name, content in pieces:
        if name == "APP1":
            kept += [(name, content)] if target == "JPEG" else []
        elif name == "APP13":
            if target in ("JPEG", "TIFF"):
                kept.append((name, without_thumbnail(content)))
            elif content.startswith(PHOTOSHOP) and iptc(content[len(PHOTOSHOP) :]):
                lost["captions (IPTC)"] = None
        elif name == "COM":
            if target in ("JPEG", "GIF"):
                kept.append((name, content))
            elif target == "PNG":
                kept.append(_png_text(b"Comment", content))
            else:
                lost["its comment"] = None
        elif name in png.TEXT_CHUNKS:
            if target == "PNG":
                kept.append((name, content))
            elif target == "JPEG" and (text := _comment(name, content)):
                kept.append(("COM", text))
            else:
                lost["its PNG texts"] = None
        elif name in png.COLOUR_CHUNKS:
            kept += [(name, content)] if target == source == "PNG" else []
        elif name == TIFF:
            if target == "TIFF":
                kept.append((name, content))
            else:
                lost["where it lies on earth (GeoTIFF)"] = None
        elif name == GAIN and target == source:
            kept.append((name, content))
        elif name == TAIL:
            if target == source:
                kept.append((name, content))
            else:
                lost["the clip of the motion photo"] = None
    notes = (f"left out, since {target} holds none: {', '.join(lost)}",) if lost else ()
    return tuple(kept), packet, notes


def of_tiff(resources: bytes | None, records: bytes | None) -> Pieces:
    """Photoshop's blocks and IPTC records of a TIFF as the segment that JPEG has for both."""
    if not resources and records:
        resources = _resource(IPTC_RESOURCE, records)
    return (("APP13", PHOTOSHOP + resources),) if resources else ()


def resources(pieces: Iterable[tuple[str, bytes]]) -> bytes:
    """Photoshop's blocks, of all the segments that they are cut into."""
    return b"".join(c[len(PHOTOSHOP) :] for name, c in pieces if name == "APP13" and c.startswith(PHOTOSHOP))


def iptc(data: bytes) -> bytes | None:
    """The IPTC records among Photoshop's blocks."""
    return next((content for number, content, _ in _blocks(data) if number == IPTC_RESOURCE), None)


def without_thumbnail(segment: bytes) -> bytes:
    """A segment without the small picture in it."""
    if not segment.startswith(PHOTOSHOP):
        return segment
    data = segment[len(PHOTOSHOP) :]
    gone = [place for number, _, place in _blocks(data) if number in THUMBNAILS]
    for start, end in reversed(gone):
        data = data[:start] + data[end:]
    return PHOTOSHOP + data


def _blocks(data: bytes) -> Iterator[tuple[int, bytes, tuple[int, int]]]:
    """(number, content, where it lies) of each block: its mark, its number, a name, its length, both padded to even."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        body = at + 6 + name + (name & 1)
        if body + 4 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, body)
        end = body + 4 + length + (length & 1)
        yield number, data[body + 4 : body + 4 + length], (at, min(end, len(data)))
        at = end


def _resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + b"\0" * (len(content) & 1)


def _png_text(keyword: bytes, text: bytes) -> tuple[str, bytes]:
    """Latin-1 has a chunk of its own; what is UTF-8 and more than ASCII goes into the international one."""
    text = text.rstrip(b"\0")
    try:
        international = any(byte > 127 for byte in text) and bool(text.decode("utf-8"))
    except UnicodeDecodeError:
        international = False
    return ("iTXt", keyword + b"\0\0\0\0\0" + text) if international else ("tEXt", keyword + b"\0" + text)


def _comment(kind: str, content: bytes) -> bytes | None:
    """The text of a PNG chunk whose keyword is Comment; None for others."""
    keyword, _, rest = content.partition(b"\0")
    if keyword != b"Comment":
        return None
    try:
        if kind == "zTXt":
            return png.inflate(rest[1:], jpeg.LONGEST_PAYLOAD)
        return rest.split(b"\0", 3)[-1] if kind == "iTXt" else rest
    except ValueError:
        return None
