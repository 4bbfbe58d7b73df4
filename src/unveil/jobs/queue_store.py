"""A private temporary folder for uploads and results, each kept for a stated time and no longer."""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

PREFIX = "unveil-"


class Store:
    """Folders that only this user may enter, named at random, deleted when they are done with or `keep` seconds after their last use.

    Everything goes when the store is closed, garbage-collected, or the interpreter ends. clock: seconds, for tests.
    """

    def __init__(self, keep: float = 900.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.keep, self._clock = keep, clock
        self._root = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)

    def make(self, *, hold: bool = False) -> Path:
        """A new empty folder, whose name is 128 random bits: who knows it may ask for it. hold: until `release`, it has no end."""
        folder = self._root / secrets.token_urlsafe(16)
        folder.mkdir(mode=0o700)
        with self._lock:
            self._until[folder.name] = math.inf if hold else self._clock() + self.keep
        return folder

    def release(self, name: str) -> None:
        """From now on the folder is kept for the usual time."""
        with self._lock:
            if name in self._until:
                self._until[name] = self._clock() + self.keep

    def find(self, name: str) -> Path | None:
        """The folder of this name, which is now kept for the full time again; None where there is none (any more).

        Names are looked up among those given out, so that no name leads out of the store.
        """
        now = self._clock()
        with self._lock:
            if self._until.get(name, now) <= now:
                return None
            self._until[name] = max(self._until[name], now + self.keep)
        return self._root / name

    def left(self, name: str) -> float:
        """Seconds until a folder is deleted if nobody asks for it; the full time for one that is held, which is released in a moment."""
        with self._lock:
            return min(max(0.0, self._until.get(name, 0.0) - self._clock()), self.keep)

    def remove(self, name: str) -> bool:
        """Delete a folder; False where there was none."""
        with self._lock:
            known = self._until.pop(name, None) is not None
        if known:
            shutil.rmtree(self._root / name, ignore_errors=True)
        return known

    def sweep(self) -> list[str]:
        """Delete what is past its time; returns the names."""
        now = self._clock()
        with self._lock:
            gone = [name for name, until in self._until.items() if until <= now]
        return [name for name in gone if self.remove(name)]
