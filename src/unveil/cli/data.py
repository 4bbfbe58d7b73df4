"""`unveil data`: making training pairs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from unveil.cli.statuses import of_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from unveil.data.writing import Outcome

app = App(name="data", help="Make training pairs: face shadows, super-resolution.")


@app.command
def faceshadow(
    *,
    faces: Path,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    count: Annotated[int, Parameter(name=["--count", "-n"])],
    seed: int = 0,
    size: int = 512,
    workers: int = 0,
) -> int:
    """Cast synthetic foreign shadows on faces: pairs for training, and a few for validation, split by identity.

    Interrupted, the same call goes on; a larger number adds pairs. OUTPUT/sheet.png shows a few of them.

    Args:
        faces: Folder of face photographs; a subfolder for each person, or one file each.
        output: Folder to write to: train and validation, each with degraded and clean.
        count: Number of pairs.
        seed: Same seed, same pairs.
        size: Side of the pairs in pixels.
        workers: Threads; 0 for one per processor.

    """
    from unveil.data.faceshadow.build import Settings, build, sheet

    with _bar("shadows", count) as progress:
        outcome = build(faces, output, count, Settings(seed, size), workers=workers or _processors(), progress=progress)
    print(f"{outcome.made} pairs made, {outcome.there} were there; look at {sheet(output)}")
    return _status(outcome)


@app.command
def superresolution(
    photos: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    scale: int = 4,
    workers: int = 0,
) -> int:
    """Reduce photographs by MATLAB's bicubic and enlarge them again: pairs for super-resolution, both at full size.

    Args:
        photos: Folder of clean photographs, as DIV2K_train_HR.
        output: Folder to write to: degraded and clean.
        scale: How many times smaller.
        workers: Threads; 0 for one per processor.

    """
    from unveil.data.decoding import images_in
    from unveil.data.superresolution import build

    with _bar("photographs", len(images_in(photos))) as progress:
        outcome = build(photos, output, scale, workers or _processors(), progress)
    print(f"{outcome.made} pairs made, {outcome.there} were there")
    return _status(outcome)


def _processors() -> int:
    return os.cpu_count() or 1


def _status(outcome: Outcome) -> int:
    import sys

    for reason in outcome.failed:
        print(f"unveil: {reason}", file=sys.stderr)
    return of_files(len(outcome.failed), outcome.made + outcome.there)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error where somebody looks at it; gives the function that takes the number done."""
    import sys

    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, quiet=not sys.stderr.isatty()), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
