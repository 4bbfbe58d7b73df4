"""`unveil restore`: photographs in, restored photographs out."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unveil.errors import InputError, UnveilWarning

if TYPE_CHECKING:
    from unveil.jobs.manifest import Row

SOME_FAILED = 3
"""Exit status: some files failed (each named with its reason), the others were written."""
MOST_PIXELS = 200_000_000
ENOUGH_DRAWS = 8


def restore(
    *inputs: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    output: Annotated[str, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)],
    name: Annotated[str, Parameter(name=["--name", "-n"])] = "general",
    steps: int | None = None,
    samples: int = 1,
    uncertainty: bool = False,
    seed: int = 0,
    fidelity: float | None = None,
    strength: float = 1.0,
    solver: str | None = None,
    grid: str | None = None,
    resolution: str | None = None,
    compare: bool = False,
    recursive: bool = False,
    skip_existing: bool = False,
    suffix: str = "",
    ext: str = "auto",
    strip: bool = False,
    manifest: Path | None = None,
    tile: Annotated[str, Parameter(name=["--tile", "-t"])] = "auto",
    max_pixels: int = MOST_PIXELS,
    device: str = "auto",
    dtype: str = "auto",
    json_lines: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Restore photographs.

    Args:
        inputs: Files, folders, globs, or `-` for standard input. In folders, what is no photograph is passed over.
        output: File to write, or folder (made if missing) for several inputs, without suffix, or ending in a slash; `-`: standard output.
        name: Model: a name on the shelf (see `unveil models`), a weight file, or the folder of a training run.
        steps: Network evaluations per draw; more is slower. Default: the model's.
        samples: Draws from the posterior; with several, their mean is written.
        uncertainty: Also write NAME_std.png, the standard deviation of the draws with a colour bar (at least 8 draws).
        seed: Same seed, same pixels.
        fidelity: 0 samples the posterior (sharp, draws differ), 1 aims at the smallest error. Default: the model's.
        strength: How much of the estimated damage to remove, 0 to 1.
        solver: ancestral, ddim, renoise or 2m.
        grid: Where the steps lie: cubic, or the schedule the model was trained on.
        resolution: coarse_to_fine, hourglass or off.
        compare: Also write NAME_compare.png, before and after side by side.
        recursive: Search folders within folders too; the tree is mirrored in the output folder.
        skip_existing: Leave alone what has its output already; after an interruption, go on with the same call.
        suffix: Put this behind the name of every output: photo.jpg becomes photoSUFFIX.jpg.
        ext: Format of the outputs by suffix (png, jpg, tif, ...). Default: each photograph's own.
        strip: Write no EXIF (position, camera), XMP and comments. The colour profile stays.
        manifest: Append one line of JSON per photograph to this file.
        tile: Longest side of the tiles that the network sees: auto, a number of pixels, or 0 for the whole photograph.
        max_pixels: Refuse larger photographs before decoding them.
        device: auto, cpu, cuda, ...
        dtype: auto, fp32, bf16 or fp16.
        json_lines: Print one line of JSON per file instead of text.

    """
    _check_hyphens(inputs)
    if not inputs:
        raise InputError("nothing to restore: name at least one photograph")
    if output.startswith("-") and output != "-":
        raise InputError(f"-o requires a file or a folder, not {output}; write ./{output} for a name like that")
    from unveil.cli.progress import Bar
    from unveil.jobs import finding, targets
    from unveil.jobs.manifest import Manifest
    from unveil.jobs.run import Handling, run
    from unveil.restorer import Options, load

    samples = max(samples, ENOUGH_DRAWS) if uncertainty else samples
    options = Options(
        steps, samples, seed, fidelity, strength, solver, grid, resolution, _tile(tile), max_pixels=max_pixels
    )
    restorer = load(name, device, dtype)
    restorer.resolve(options)  # a wrong setting is a usage error, not one per file
    place, folder = Path(output), output.endswith(("/", "\\"))
    items = finding.find(inputs, recursive=recursive, leave_out=None if place == finding.STANDARD else place)
    extras = [kind for kind, wanted in (("std", uncertainty), ("compare", compare)) if wanted]
    jobs = targets.plan(items, place, folder=folder, suffix=suffix, ext=ext, extras=extras)
    seen: dict[str, int] = {}
    rows = sys.stderr if place == finding.STANDARD else sys.stdout

    with Manifest(manifest) as kept:

        def report(row: Row) -> None:
            seen[row.status] = seen.get(row.status, 0) + 1
            kept.add(row)
            _say(row, json_lines, rows)

        def watch(job: targets.Job, number: int) -> Bar:
            place = f"{number + 1}/{len(jobs)} " if len(jobs) > 1 else ""
            return Bar(f"{place}{job.source}", samples, quiet=json_lines)

        with _quiet_warnings():
            run(restorer, jobs, options, report, handling=Handling(skip_existing, strip, ext), watch=watch)
    return SOME_FAILED if seen.get("failed") else 0


def _check_hyphens(inputs: tuple[Path, ...]) -> None:
    """`-` is a name here, which makes the parser take every unknown option for a name too."""
    for given in inputs:
        if str(given).startswith("-") and str(given) != "-":
            close = difflib.get_close_matches(str(given), _OPTIONS, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else f" Write ./{given} for a file of that name."
            raise InputError(f'Unknown option: "{given}".{hint} See `unveil restore --help`.')


def _targets(inputs: tuple[Path, ...], output: Path) -> list[Path]:
    """Where a command that makes one file of each input writes them; clashes are refused."""
    from unveil.jobs import finding, targets

    return [job.target for job in targets.plan([finding.Item(path, Path(path.name)) for path in inputs], output)]


def _tile(text: str) -> int | str:
    if text == "auto" or not text.isdecimal():
        return text  # Options says what is wrong with it
    return int(text)


def _quiet_warnings():  # type: ignore[no-untyped-def]
    """What the library warns of stands in the rows already."""
    import warnings

    return warnings.catch_warnings(action="ignore", category=UnveilWarning)


def _say(row: Row, as_json: bool, rows) -> None:  # type: ignore[no-untyped-def]
    if as_json:
        print(row.to_json(), file=rows, flush=True)
        return
    for note in row.notes:
        print(f"unveil: {row.input}: {note}", file=sys.stderr, flush=True)
    if row.status == "failed":
        named = row.reason if row.input in row.reason else f"{row.input}: {row.reason}"
        print(f"unveil: {named}", file=sys.stderr, flush=True)
    elif row.status == "restored":
        print(f"{row.output}  {row.seconds:.1f} s", file=rows, flush=True)
    else:
        print(f"{row.input}  {row.status}: {row.reason}", file=rows, flush=True)


_OPTIONS = [
    "--json",
    *(f"--{name.replace('_', '-')}" for name in restore.__annotations__ if name not in ("inputs", "json_lines")),
]
