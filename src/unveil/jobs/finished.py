"""Whether an existing output is finished: whole, by the marks of its format, and not older than its source."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from unveil.errors import InputError
from unveil.jobs.outputs import Job
from unveil.photo import jpeg, netpbm
from unveil.photo.header import sniff
from unveil.video import is_container

_TAIL = 1 << 16
ENDS = {"GIF": b";", "JP2": b"\xff\xd9"}
"""What a file of a format ends with."""
_BOXES = 10_000
"""The most top-level boxes that are read; a film in fragments has one or two for each second."""


def done(job: Job) -> bool:
    """Whether all files of a job are finished, the further pictures that are asked for among them."""
    return all(finished(job.source, path) for path in job.files)


def finished(source: Path, target: Path) -> bool:
    """Whether `target` need not be made again. source: what it is made from, `-` for what has no time.

    Empty and truncated files, and files that are no picture at all, are not finished, nor are those that are older than their source.
    """
    try:
        there = target.stat()
        return _is_whole(target, there.st_size) and (not source.exists() or source.stat().st_mtime <= there.st_mtime)
    except (OSError, ValueError):
        return False


def _is_whole(path: Path, size: int) -> bool:
    """By the marks that its format puts at a file's end, or its lengths; without decoding it, but for JPEG XL, which has neither."""
    if not size or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
        kind = sniff(head)
        if kind == "JPEG":
            return b"\xff\xd9" in _tail(file, size) or _has_a_picture(path)
        if kind == "PNG":
            return b"IEND\xaeB`\x82" in _tail(file, size)
        if kind in ENDS:
            return _tail(file, size).endswith(ENDS[kind])
        if kind == "PNM":
            return head[:2] in netpbm.COUNTED and size >= netpbm.size(_head(file))
        if kind == "JXL":
            return _can_be_read(path)
        if kind == "BMP":
            return size >= int.from_bytes(head[2:6], "little") > 26
        if head[:4] == b"RIFF":  # WebP, and AVI up to 2 GB
            return size >= 8 + int.from_bytes(head[4:8], "little") > 8
        if kind == "TIFF":
            return _has_its_strips(path, size)
        if head[4:8] == b"ftyp":  # HEIC, AVIF, MP4, MOV
            return _boxes_fill(file, size)
        # Matroska, transport and program streams, ASF: their length is written last or never, but outputs take their names when whole.
        return is_container(_head(file))


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_TAIL)


def _has_a_picture(path: Path) -> bool:
    """Whether a JPEG's picture is whole before what stands behind it, the clip of a motion photo."""
    return jpeg.end(path.read_bytes()) > 0


def _can_be_read(path: Path) -> bool:
    from unveil.photo import read

    try:
        read(path)
    except InputError:
        return False
    return True


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - _TAIL))
    return file.read(_TAIL)


def _has_its_strips(path: Path, size: int) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
            return bool(pages) and all(
                offset + count <= size
                for page in pages
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            )
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, TypeError, struct.error):
        return False


def _boxes_fill(file: BinaryIO, size: int) -> bool:
    """Whether the boxes of ISO/IEC 14496-12 end where the file does, with a description among them."""
    at, kinds = 0, set()
    for _ in range(_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        kinds.add(kind)
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        at = size if length == 0 else at + max(length, 8)
        if at >= size:
            break
    return at == size and bool(kinds & {b"meta", b"moov"})
