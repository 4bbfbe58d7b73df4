"""Who works on which output: a locked file beside it, which the system unlocks when its process ends, however it ends."""

from __future__ import annotations

import hashlib
from pathlib import Path

from filelock import FileLock, Timeout

from unveil.jobs.finding import STANDARD

CLAIM_SUFFIX = ".unveil-claim"
_SHOWN = 80


class Claim:
    """The right to write one output, until it is given back."""

    def __init__(self, lock: FileLock | None) -> None:
        self._lock = lock

    def give_back(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            Path(self._lock.lock_file).unlink(missing_ok=True)  # before it is unlocked: who waits for it looks again
            self._lock.release(force=True)
            self._lock = None


def claim(target: Path) -> Claim | None:
    """The claim on an output, or None where another run (or another job of this one) has it.

    Where the file system knows no locks, or it is standard output, everybody has it.
    """
    if target == STANDARD:
        return Claim(None)
    lock = FileLock(_place(target), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except (OSError, NotImplementedError):
        return Claim(None)
    return Claim(lock)


def forget(left: Path) -> None:
    """Delete a claim whose process is gone; one that is in use stays."""
    try:
        lock = FileLock(left, timeout=0, thread_local=False)
        lock.acquire()
    except (Timeout, OSError, NotImplementedError):
        return
    Claim(lock).give_back()


def _place(target: Path) -> Path:
    digest = hashlib.sha256(target.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return target.with_name(f".{target.name[:_SHOWN]}.{digest}{CLAIM_SUFFIX}")
