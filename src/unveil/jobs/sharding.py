"""A share of the photographs for each of many machines that know nothing of each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from unveil.errors import InputError
from unveil.jobs.finding import Item


def shard_of(place: str, count: int) -> int:
    """1 to `count`, by the photograph's place below its folder: the same on every machine, whatever else is in the folder."""
    return 1 + int.from_bytes(hashlib.sha256(place.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count


def parse(text: str) -> tuple[int, int]:
    """(K, N) of "K/N", the Kth of N shards, counted from 1. Raises InputError for anything else."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard takes K/N with K from 1 to N, as 3/16, not {text!r}")
    return number, count


def share(items: Sequence[Item], text: str) -> list[Item]:
    """The items of shard "K/N". Every item is in exactly one of the N; a shard may be empty."""
    number, count = parse(text)
    return [item for item in items if shard_of(item.place.as_posix(), count) == number]
