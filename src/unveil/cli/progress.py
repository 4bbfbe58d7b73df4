"""What a long command shows while it works: a progress bar, and the frames of a restoration."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from unveil.util.words import shown

if TYPE_CHECKING:
    from unveil.diffusion.sampling import Progress as Step


class Pace:
    """An estimate of how long the rest of a folder takes, from the photographs done."""

    def __init__(self, photographs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.photographs, self._clock = photographs, clock
        self._began: tuple[int, float] | None = None

    def left(self, number: int) -> str:
        """The text behind the title of photograph `number` (from 0) when it begins; empty while nothing is known."""
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

    pictures: how many there are; 0 where it is not known: then they are counted without a total. clock: for tests.
    """

    def __init__(
        self,
        title: str,
        samples: int,
        pictures: int = 1,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
        self.title, self.samples, self.pictures, self.done = shown(title), samples, pictures, 0
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            get_time=clock,
        )
        self.task = self.progress.add_task(self.title, total=None)

    def within(self, share: float) -> None:
        """Show that this share of the current evaluation is done; before the first one ends, their number is not known."""
        self.progress.update(self.task, completed=self.done + share)

    def __call__(self, step: Step) -> None:
        """The callback of `Restorer.restore`."""
        self.advance(step)

    def advance(self, step: Step) -> None:
        """Count one evaluation."""
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

    def __exit__(self, *raised: object) -> None:
        self.progress.stop()


def bars() -> Progress:
    """Progress bars with numbers, on standard error where somebody looks at it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, quiet=not sys.stderr.isatty()), transient=True)


@contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """Gives the function that takes (what is measured now, done, total)."""
    with bars() as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


class Frames:
    """A context around one restoration like the one inside, whose callback also writes FOLDER/NAME_0001.png, NAME_0002.png, ...

    value_range: of the sampler's images, which is the network's. The folder is there.
    """

    def __init__(self, folder: Path, name: str, inside: Any, value_range: tuple[float, float] = (-1.0, 1.0)) -> None:
        self.folder, self.name, self.inside, self.count = folder, name, inside, 0
        self.low, self.high = value_range

    def __enter__(self) -> Callable[[Step], Any]:
        tell = self.inside.__enter__()

        def both(step: Step) -> Any:
            self._write(step)
            return tell(step)

        both.within = getattr(tell, "within", None)  # type: ignore[attr-defined]
        return both

    def __exit__(self, *raised: Any) -> None:
        self.inside.__exit__(*raised)

    def _write(self, step: Step) -> None:
        from unveil.photo import write
        from unveil.photo.record import from_array

        self.count += 1
        unit = (step.x0_hat[0].detach().float().cpu() - self.low) / (self.high - self.low)
        image = unit.clamp(0, 1).permute(1, 2, 0).numpy()
        write(from_array(image), image, self.folder / f"{self.name}_{self.count:04d}.png")
