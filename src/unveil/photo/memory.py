"""The memory that this machine, or the container around us, has in total."""

from __future__ import annotations

import os
from pathlib import Path

UNKNOWN = 4 << 30
LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def host_memory() -> int:
    """Bytes of main memory in total, or the container's limit where that is lower; 4 GiB where the system does not tell.

    The total and not what is free at the moment: a plan made from it is the same on every run.
    """
    return min([_physical(), *(limit for file in LIMIT_FILES if (limit := _limit(Path(file))))])


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" means no limit
        return None
