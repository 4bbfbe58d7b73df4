"""Which of a TIFF's directories is the picture, and what the others are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unveil.photo.ifd import Entry, Tiff

SUBFILE, OLD_SUBFILE, SUB_IFDS, DNG_VERSION, PHOTOMETRIC = 254, 255, 330, 50706, 262
# Colour filter array, and linear raw.
SENSOR = (32803, 34892)
MOST_PAGES = 64


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
