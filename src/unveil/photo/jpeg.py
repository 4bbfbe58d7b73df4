"""The marker segments of a JPEG file (ITU-T T.81, annex B): its size, and the pieces that Pillow does not hand on."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SOS, COM, APP1, APP13 = 0xDA, 0xFE, 0xE1, 0xED
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
            if data.count(b"\xff\xda") > MOST_SCANS:
                raise ValueError(f"over {MOST_SCANS} scans")
            return width, height, bits
    raise ValueError("no frame header")


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
