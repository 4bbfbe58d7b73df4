"""Keeping freed memory in the C library's allocator."""

from __future__ import annotations

import ctypes
import os

_TRIM, _MMAP = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's <malloc.h>."""
KEPT = 128 << 20
"""Bytes that stay with the process once they are free, at most."""
_LARGEST = 32 << 20
"""Bytes from which on a block is always the system's own and goes back at once; glibc takes no more."""


def keep_freed_memory() -> bool:
    """Keep up to KEPT bytes of what is freed, in place of giving it back to the system and asking for it again within each layer.

    A network makes and drops the same few megabytes layer after layer, and each time they come anew from the system, page by page. That
    takes a twentieth of a network's time (docs/speed.md) and changes neither a result nor the most memory that is held. For commands only,
    which own their process. Settings that are already in the environment (mallopt(3)) stay. Returns whether it was done: in Linux with
    glibc.
    """
    if "malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 - others' mallopt has other numbers
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc; Windows has no library of no name
        return False
    return bool(mallopt(_MMAP, _LARGEST) and mallopt(_TRIM, KEPT))
