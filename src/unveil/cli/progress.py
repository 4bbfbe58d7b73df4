"""A progress bar with the time left, on standard error, only where somebody looks at it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from unveil.diffusion.sampling import Progress as Step


class Pace:
    """How long the rest of a folder takes, from what came before."""

    def __init__(self, photographs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.photographs, self._clock = photographs, clock
        self._began: tuple[int, float] | None = None

    def left(self, number: int) -> str:
        """Behind the title of photograph `number` (from 0), as it begins; empty where nothing can be told yet."""
        from unveil.util.words import duration

        now = self._clock()
        if self._began is None:
            self._began = (number, now)
        first, then = self._began
        if number <= first or self.photographs - number < 1:
            return ""
        return f" (all: {duration((now - then) / (number - first) * (self.photographs - number))} left)"


class Bar:
    """Counts network evaluations over all draws of one photograph, or of all frames of a video; of large photographs their tiles, too.

    The time that has passed stands beside it and moves every second, whatever the network takes for one tile.

    pictures: how many there are; 0 where nobody knows: then they are counted without an end.
    """

    def __init__(self, title: str, samples: int, pictures: int = 1, quiet: bool = False) -> None:
        console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
        self.title, self.samples, self.pictures, self.done = title, samples, pictures, 0
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task = self.progress.add_task(title, total=None)

    def within(self, share: float) -> None:
        """Show that this share of the evaluation under way is done; before the first one is over nobody knows how many there are."""
        self.progress.update(self.task, completed=self.done + share)

    def __call__(self, step: Step) -> None:
        """The callback of `Restorer.restore`."""
        self.advance(step)

    def advance(self, step: Step) -> None:
        """Take one evaluation into account."""
        each = step.steps * self.samples
        self.done += 1
        title = self.title
        if self.pictures != 1:
            title += f" frame {-(-self.done // each)}" + (f"/{self.pictures}" if self.pictures else "")
        total = each * self.pictures or None
        self.progress.update(self.task, description=title, total=total, completed=self.done)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()


@contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """Gives the function that takes (what is measured now, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)
