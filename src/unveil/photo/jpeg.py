"""The marker segments of a JPEG file (ITU-T T.81, annex B): its size, and the pieces that Pillow does not hand on."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
SOS, EOI, COM, APP0, APP1, APP2, APP13, APP14 = 0xDA, 0xD9, 0xFE, 0xE0, 0xE1, 0xE2, 0xED, 0xEE
APPS = range(0xE0, 0xF0)
ICC = b"ICC_PROFILE\0"
END = b"\xff\xd9"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
LONGEST_PAYLOAD = 65533
# Honest progressive files have about ten scans; hundreds of them in a large frame are an attack on decoding time.
MOST_SCANS = 500


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of every segment before the first scan. Ends quietly where the file does."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
        elif marker in (SOS, 0xD9):
            return
        else:
            (length,) = struct.unpack_from(">H", data, at + 2)
            yield marker, data[at + 4 : at + 2 + max(length, 2)]
            at += 2 + max(length, 2)


def frame(data: bytes) -> tuple[int, int, int]:
    """(width, height, bits per sample) from the frame header. Raises ValueError where there is none, or too many scans."""
    for marker, payload in segments(data):
        if marker in SOF and len(payload) >= 6:
            bits, height, width = struct.unpack_from(">BHH", payload)
            if marker in PROGRESSIVE and data.count(b"\xff\xda") > MOST_SCANS:
                raise ValueError(f"over {MOST_SCANS} scans")
            return width, height, bits
    raise ValueError("no frame header")


# Within a scan, a marker is what is neither a stuffed byte, a restart nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def end(data: bytes) -> int:
    """Where the first picture ends, after its end marker; 0 where there is none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == EOI:
            return at + 2
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + max(length, 2)
        if marker == SOS:
            found = _MARKER.search(data, at)
            if found is None:
                return 0
            at = found.start()
    return at + 2 if data[at : at + 2] == END else 0


def stripped(data: bytes) -> bytes:
    """The file without EXIF, XMP, captions, comments and what stands behind its picture; its scans and colour profile bit for bit."""
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SOS:
        if data[at + 1] == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        marker, segment = data[at + 1], data[at : at + 2 + max(length, 2)]
        at += len(segment)
        own = marker == APP2 and not segment[4:].startswith(ICC)
        if not (own or marker == COM or (marker in APPS and marker not in (APP0, APP2, APP14))):
            kept.append(segment)
    return b"".join(kept) + data[at : end(data) or None]


def has_every_scan(data: bytes) -> bool:
    """Whether a progressive file refines every coefficient of every component to its last bit; True for all others."""
    left: dict[int, list[int]] = {}
    at, progressive = 2, False
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF) or 0xD0 <= data[at + 1] <= 0xD8:
            at += 1
            continue
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker in SOF and len(body) >= 6:
            progressive = marker in PROGRESSIVE
            left = {body[6 + 3 * n]: [1] * 64 for n in range(body[5]) if 6 + 3 * n < len(body)}
        elif marker == SOS and body and len(body) >= 4 + 2 * body[0]:
            first, last, low = body[1 + 2 * body[0]], body[2 + 2 * body[0]], body[3 + 2 * body[0]] & 15
            for n in range(body[0]):
                known = left.get(body[1 + 2 * n])
                if known is not None:
                    known[first : last + 1] = [low] * len(known[first : last + 1])
            found = _MARKER.search(data, at + 2 + length)
            at = len(data) if found is None else found.start()
            continue
        at += 2 + max(length, 2)
    return not progressive or not any(any(bits) for bits in left.values())


def extras(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Captions (APP13: IPTC and Photoshop), comments (COM) and extended XMP, in file order."""
    found: list[tuple[str, bytes]] = []
    for marker, payload in segments(data):
        if marker == APP13:
            found.append(("APP13", payload))
        elif marker == COM:
            found.append(("COM", payload))
        elif marker == APP1 and payload.startswith(EXTENDED_XMP):
            found.append(("APP1", payload))
    return tuple(found)


def segment(name: str, payload: bytes) -> bytes:
    """A whole segment from what `extras` gave, marker and length included."""
    marker = {"APP1": APP1, "APP13": APP13, "COM": COM}[name]
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
