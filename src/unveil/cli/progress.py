"""A progress bar with the time left, on standard error, only where somebody looks at it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from unveil.diffusion.sampling import Progress as Step


class Bar:
    """Counts network evaluations over all draws of one photograph."""

    def __init__(self, title: str, samples: int, quiet: bool = False) -> None:
        console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
        self.samples = samples
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True
        )
        self.task = self.progress.add_task(title, total=None)

    def advance(self, step: Step) -> None:
        """Take one evaluation into account; the callback of `Restorer.restore`."""
        self.progress.update(self.task, total=step.steps * self.samples, advance=1)

    def __enter__(self) -> Callable[[Step], None]:
        self.progress.start()
        return self.advance

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
