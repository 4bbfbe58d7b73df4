"""`unveil data`: making training pairs, and finding test pictures among training pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from unveil.cli import SOME_FAILED, exit_status, say
from unveil.errors import collected
from unveil.util.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from unveil.data.files import Outcome

app = App(
    name="data", help="Make training pairs: face shadows, super-resolution; find test pictures among training pictures."
)


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
    from unveil.data.faceshadow import FaceShadowSettings, build, sheet

    with _bar("shadows", count) as progress:
        outcome = build(
            faces, output, count, FaceShadowSettings(seed, size), workers=workers or _processors(), progress=progress
        )
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
    from unveil.data.files import build, unreduced

    with _bar("photographs", len(unreduced(photos, output))) as progress:
        outcome = build(photos, output, scale, workers or _processors(), progress)
    print(f"{outcome.made} pairs made, {outcome.there} were there")
    return _status(outcome)


@app.command
def leaks(
    train: Path,
    test: Path,
    *,
    features: bool | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Find pictures of TEST that TRAIN shows too: copies, mirrored or at another exposure; pieces; other views of the same scene.

    One line for each pair: the test picture, the training picture, and how they were found (hash: the whole picture; features: local
    features that one homography explains). Exit status 3 where there are any, or files that cannot be read; 0 where there are none.

    Args:
        train: Folder of training pictures, with everything below it.
        test: Folder of test pictures; the same folder finds the twins within it.
        features: Compare local features too, a tenth of a second for each picture and some for each pair. Default: where
            scikit-image is installed (extra "leaks").
        as_json: Print one line of JSON for each pair.

    """
    import json

    from unveil.cli.progress import counting
    from unveil.data.files import images_in
    from unveil.data.leaks import find_leaks, overlaps

    with collected() as notes:
        with counting() as show:
            found = find_leaks(train, test, features=features, progress=show)
        known = overlaps(images_in(train), images_in(test))
    for leak in found.leaks:
        row = {"test": str(leak.test), "train": str(leak.train), "by": leak.by, "strength": leak.strength}
        print(json.dumps(row) if as_json else shown(f"{leak.test}  {leak.train}  {leak.by} {leak.strength}"))
    for told in (*dict.fromkeys(notes), *(f"known of these sets: {said}" for said in known), *found.unreadable):
        say(told)
    how = (
        "whole pictures and local features"
        if found.features
        else "whole pictures alone; the extra leaks finds pieces, too"
    )
    tests = len({leak.test for leak in found.leaks})
    say(f"{tests} of {found.test} test pictures are among {found.train} training pictures ({how})")
    return SOME_FAILED if found.leaks or found.unreadable else 0


def _processors() -> int:
    return os.cpu_count() or 1


def _status(outcome: Outcome) -> int:
    for reason in outcome.failed:
        say(reason)
    return exit_status(len(outcome.failed), outcome.made + outcome.there)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error where somebody looks at it; gives the function that takes the number done."""
    import sys

    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, quiet=not sys.stderr.isatty()), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
