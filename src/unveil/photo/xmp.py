"""XMP packets: what an edited picture must change in them, in place, so that all else stays as it was written."""

from __future__ import annotations

import re
import struct

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
