"""A private temporary folder for uploads and results, each kept for a stated time and no longer."""

from __future__ import annotations

import atexit
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from unveil.web.queue import Crowded, Full

PREFIX = "unveil-"
LOCK = ".lock"
"""Locked by the process that a folder belongs to, so that folders of killed processes can be recognised."""


class NoSpace(Full):
    """There is no room for more of this client's files, and there will be none when its own work has ended."""


@dataclass
class _Kept:
    until: float
    owner: str
    size: int = 0


class Store:
    """Folders that only this user may enter, named at random, deleted when they are done with or `keep` seconds after their last use.

    Everything goes when the store is closed, garbage-collected, or the interpreter ends; what a killed process left goes when the next
    store is made. most: bytes of all folders together; share: of one owner's. clock: seconds, for tests.
    """

    def __init__(
        self,
        keep: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        most: float = math.inf,
        share: float = math.inf,
    ) -> None:
        self.keep, self._clock, self.most, self.share = keep, clock, most, share
        left_behind(Path(tempfile.gettempdir()))
        self._base, lock = private_folder()
        self._root = self._base / "kept"
        self._root.mkdir(mode=0o700)
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._deleting = threading.Lock()
        self.close = weakref.finalize(self, _remove, self._base, lock)

    def make(self, *, hold: bool = False, owner: str = "", size: int = 0) -> Path:
        """A new empty folder, whose name is 128 random bits and gives access to it.

        hold: until `release`, it has no end. owner: whose share it takes. size: bytes that are about to be put into it.
        Raises Full where the owner's share is used up, Crowded where all room is.
        """
        folder = self._root / secrets.token_urlsafe(16)
        with self._lock:
            self._check(owner, size)
            self._kept[folder.name] = _Kept(math.inf if hold else self._clock() + self.keep, owner, size)
        try:
            folder.mkdir(mode=0o700)
        except BaseException:
            self.remove(folder.name)
            raise
        return folder

    def release(self, name: str) -> None:
        """From now on the folder is kept for the usual time, and counted with what is in it."""
        size = _bytes(self._root / name)
        with self._lock:
            if name in self._kept:
                self._kept[name].until, self._kept[name].size = self._clock() + self.keep, size

    def find(self, name: str) -> Path | None:
        """The folder of this name, which is now kept for the full time again; None where there is none (any more).

        Names are looked up among those given out, so that no name leads out of the store.
        """
        now = self._clock()
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept.until <= now:
                return None
            kept.until = max(kept.until, now + self.keep)
        return self._root / name

    def left(self, name: str) -> float:
        """Seconds until a folder is deleted if nobody asks for it; the full time for one that is held, which is released in a moment."""
        with self._lock:
            kept = self._kept.get(name)
            return 0.0 if kept is None else min(max(0.0, kept.until - self._clock()), self.keep)

    def remove(self, name: str) -> bool:
        """Delete a folder; False where there was none. Either way nothing is left of it on return, whoever else deletes it meanwhile."""
        with self._deleting:
            with self._lock:
                known = self._kept.pop(name, None) is not None
            if known:
                shutil.rmtree(self._root / name, ignore_errors=True)
        return known

    def sweep(self) -> list[str]:
        """Delete what is past its time; returns the names."""
        now = self._clock()
        with self._lock:
            gone = [name for name, kept in self._kept.items() if kept.until <= now]
        return [name for name in gone if self.remove(name)]

    def _check(self, owner: str, size: int) -> None:
        own = sum(kept.size for kept in self._kept.values() if kept.owner == owner)
        if own + size > self.share:
            raise NoSpace(
                f"you have {own / 2**20:.0f} MiB of photographs and results here, of {self.share / 2**20:.0f} that one client may have; "
                "delete some (DELETE /v1/jobs/ID), or wait until they are",
                self._first(owner),
            )
        if sum(kept.size for kept in self._kept.values()) + size > self.most:
            raise Crowded("the server holds as many photographs and results as it may; try again later", self._first())

    def _first(self, owner: str | None = None) -> int:
        """Seconds until something (of this owner) is deleted."""
        ends = [kept.until for kept in self._kept.values() if owner in (None, kept.owner)]
        return max(1, math.ceil(min(min(ends, default=0.0) - self._clock(), self.keep)))


def private_folder() -> tuple[Path, FileLock]:
    """A new folder for temporary files that only this user may enter, and the lock that says that its process is alive."""
    base = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
    lock = FileLock(base / LOCK, thread_local=False)
    lock.acquire()
    return base, lock


@cache
def page_folder() -> Path:
    """A private folder for what Gradio may want to keep; its own default is one of a fixed name for all users. Gone at the end."""
    base, lock = private_folder()
    atexit.register(_remove, base, lock)
    return base / "gradio"


def left_behind(place: Path) -> list[Path]:
    """Delete the private folders in `place` whose process is gone, and return them. Others' folders, and what is no folder, are left."""
    gone = []
    for base in place.glob(f"{PREFIX}*"):
        lock = base / LOCK
        try:
            if base.is_symlink() or lock.is_symlink() or not lock.is_file():
                continue
            if hasattr(os, "getuid") and base.stat().st_uid != os.getuid():
                continue
            with FileLock(lock, timeout=0):
                shutil.rmtree(base, ignore_errors=True)
                gone.append(base)
        except (Timeout, OSError):
            continue
    return gone


def _remove(base: Path, lock: FileLock) -> None:
    shutil.rmtree(base, ignore_errors=True)
    lock.release(force=True)


def _bytes(folder: Path) -> int:
    total = 0
    with suppress(OSError):  # the folder was deleted just now, before or while it is listed
        for path in folder.iterdir():
            with suppress(OSError):
                total += path.stat().st_size
    return total
