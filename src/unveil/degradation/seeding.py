"""The generator's seed for one photograph's damage: one function for the command line, the page and the HTTP interface."""

from __future__ import annotations

import hashlib


def own_seed(seed: int, name: str) -> int:
    """The seed for a photograph, so that many photographs damaged with one seed are damaged differently.

    Args:
        seed: The user's.
        name: The photograph's file name, without folders.

    Returns:
        0 to 2^32 - 1, since torch's generator on processors keeps no more.

    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big")
