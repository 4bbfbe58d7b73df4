"""The log of a run: lines for a person, JSON lines and TensorBoard for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from unveil.errors import InputError
from unveil.util import atomic
from unveil.util.words import duration

EVERY = 50
"""Steps between two lines."""
FILES = ("log", "validation")


def trim(log: Path, done: int) -> None:
    """Drop the lines of a log about steps after `done`: a resumed run writes them again. Written aside and renamed."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= done:
                kept.append(line)
        except (ValueError, KeyError):  # the line that a kill cut short
            continue
    atomic.replace(log, "".join(f"{line}\n" for line in kept).encode())


class Reporter:
    """Writes `folder`/log.jsonl and validation.jsonl, hands lines to `say`, and feeds TensorBoard where it is installed.

    quiet: neither writes nor prints (all processes of a distributed run but the first).
    """

    def __init__(self, folder: Path, say: Callable[[str], None], *, done: int = 0, quiet: bool = False) -> None:
        self.quiet, self._say = quiet, say
        self._board: Any = None
        if quiet:
            return
        self._files: dict[str, TextIO] = {}
        self._folder = folder
        for name in FILES:
            trim(folder / f"{name}.jsonl", done)
            with self._writable(name):
                self._files[name] = (folder / f"{name}.jsonl").open("a")
        try:
            from torch.utils.tensorboard import SummaryWriter  # type: ignore[import-not-found]

            self._board = SummaryWriter(str(folder / "tensorboard"))
        except ImportError:
            pass

    def say(self, line: str) -> None:
        """A line for the person."""
        if not self.quiet:
            self._say(line)

    def record(self, step: int, values: dict[str, Any], file: str = "log") -> None:
        """Values after `step` for programs, in one of FILES. Numbers also go to TensorBoard, below its name.

        Raises InputError when the file cannot be written, by a full disk, say.
        """
        if self.quiet:
            return
        with self._writable(file):
            self._files[file].write(json.dumps({"step": step, **values}) + "\n")
            self._files[file].flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{file}/{name}", value, step)

    def close(self) -> None:
        """Close the files."""
        if not self.quiet:
            for file in self._files.values():
                with suppress(OSError):  # a full disk was already reported when the line was written
                    file.close()
        if self._board is not None:
            self._board.close()

    @contextmanager
    def _writable(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._folder / name}.jsonl: cannot be written ({error.strerror or error}); the last good checkpoint is untouched. "
                "Make room and resume the run"
            ) from error


class Pace:
    """Speed since the start of this process (or stage), without the time spent on validation."""

    def __init__(self) -> None:
        self.steps = self.images = 0
        self._started = time.perf_counter()
        self._away = 0.0

    def step(self, images: int) -> None:
        """Count a step of so many images."""
        self.steps += 1
        self.images += images

    def away(self, seconds: float) -> None:
        """Leave out so many seconds."""
        self._away += seconds

    @property
    def seconds(self) -> float:
        """Seconds spent on steps."""
        return max(1e-9, time.perf_counter() - self._started - self._away)

    def left(self, steps: int) -> str:
        """How long `steps` more take, in words."""
        return duration(steps * self.seconds / max(1, self.steps))
