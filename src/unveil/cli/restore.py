"""`unveil restore`: photographs in, restored photographs out."""

from __future__ import annotations

import gc
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from unveil.cli import check_hyphens, exit_status, print_failed, say, zero_shot
from unveil.cli.zero_shot import NONE_GIVEN, ZERO_SHOT, ZeroShotOptions
from unveil.errors import InputError, UnveilWarning
from unveil.util.allocator import keep_freed_memory
from unveil.util.words import several, shown

if TYPE_CHECKING:
    from unveil.cli.progress import Bar, Frames
    from unveil.jobs import outputs
    from unveil.jobs.batch import Restores
    from unveil.jobs.cluster import Cluster
    from unveil.jobs.manifest import Row
    from unveil.options import Options
    from unveil.zeroshot_restorer import ZeroShotRestorer

AUTO = "auto"
TRAINED = "learnir"
"""As `loading.TRAINED`, before anything is loaded."""
MODEL = "general"
MOST_PIXELS = 200_000_000
ENOUGH_DRAWS = 8
LONG = 600.0
"""Seconds that a call may be expected to take before it asks for --yes."""
SUFFIX = "_restored"
"""Suffix of the names of results that are written beside their photographs."""
EVERYDAY, FILES, SAMPLING = (
    Group(name, sort_key=place) for place, name in enumerate(("Everyday", "Many files", "Sampling"))
)
"""How the options are arranged in the help, those of zero-shot methods behind them."""
MACHINES = Group("Machine and cluster", sort_key=4)


def restore(
    *inputs: Annotated[Path, Parameter(allow_leading_hyphen=True, group=EVERYDAY)],
    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True, group=EVERYDAY)] = None,
    name: Annotated[str, Parameter(group=EVERYDAY, name=["--name", "-n"])] = MODEL,
    method: Annotated[str | None, Parameter(group=SAMPLING)] = None,
    steps: Annotated[int | None, Parameter(group=SAMPLING)] = None,
    samples: Annotated[int, Parameter(group=EVERYDAY)] = 1,
    uncertainty: Annotated[bool, Parameter(group=EVERYDAY)] = False,
    seed: Annotated[int, Parameter(group=EVERYDAY)] = 0,
    fix: Annotated[str | None, Parameter(group=EVERYDAY)] = None,
    keep: Annotated[str, Parameter(group=EVERYDAY)] = "",
    fidelity: Annotated[float | None, Parameter(group=SAMPLING)] = None,
    strength: Annotated[float, Parameter(group=EVERYDAY)] = 1.0,
    solver: Annotated[str | None, Parameter(group=SAMPLING)] = None,
    grid: Annotated[str | None, Parameter(group=SAMPLING)] = None,
    resolution: Annotated[str | None, Parameter(group=SAMPLING)] = None,
    self_ensemble: Annotated[Literal[1, 2, 4, 8], Parameter(group=SAMPLING)] = 1,
    compare: Annotated[bool, Parameter(group=EVERYDAY)] = False,
    recursive: Annotated[bool, Parameter(group=FILES)] = False,
    follow_links: Annotated[bool, Parameter(group=FILES, negative="")] = False,
    skip_existing: Annotated[bool, Parameter(group=FILES)] = False,
    keep_times: Annotated[bool, Parameter(group=FILES, negative="")] = False,
    suffix: Annotated[str, Parameter(group=FILES)] = "",
    ext: Annotated[str, Parameter(group=FILES)] = "auto",
    strip: Annotated[bool, Parameter(group=EVERYDAY)] = False,
    tone_map: Annotated[bool, Parameter(group=FILES)] = False,
    manifest: Annotated[Path | None, Parameter(group=FILES)] = None,
    frames: Annotated[Path | None, Parameter(group=FILES)] = None,
    tile: Annotated[str, Parameter(group=MACHINES, name=["--tile", "-t"])] = "auto",
    max_pixels: Annotated[int, Parameter(group=FILES)] = MOST_PIXELS,
    device: Annotated[str, Parameter(group=MACHINES)] = "auto",
    dtype: Annotated[str, Parameter(group=MACHINES)] = "auto",
    engine: Annotated[str, Parameter(group=MACHINES)] = "torch",
    shard: Annotated[str, Parameter(group=FILES)] = "",
    cluster: Annotated[str, Parameter(group=MACHINES)] = "",
    workers: Annotated[int, Parameter(group=MACHINES)] = 0,
    worker_cpus: Annotated[float, Parameter(group=MACHINES)] = 1.0,
    worker_gpus: Annotated[float, Parameter(group=MACHINES)] = 0.0,
    json_lines: Annotated[bool, Parameter(name="--json", group=FILES)] = False,
    yes: Annotated[bool, Parameter(group=ZERO_SHOT, negative="")] = False,
    mask: Annotated[Path | None, Parameter(group=FILES)] = None,
    zero: ZeroShotOptions = NONE_GIVEN,
) -> int:
    """Restore photographs.

    unveil restore photo.jpg
        writes photo_restored.jpg beside it: its damage is found and fixed, and an undamaged photograph stays as it is.

    unveil restore old.png --fix noise,jpeg -o clean.png
        fixes noise and compression, and leaves light and colours alone.

    unveil restore album/ -o restored/ --recursive --skip-existing
        restores a folder; called again after an interruption, it goes on.

    Args:
        inputs: Files, folders, globs, or `-` for standard input. In folders, other files are ignored.
        output: File to write; or folder (made if missing): for several inputs, without suffix, or ending in a slash; `-`: standard
            output. Default: NAME_restored beside each photograph.
        name: Model: a name on the shelf (see `unveil models`), a weight file, or the folder of a training run.
        method: learnir (default): a trained model. auto: the same, kept for scripts, since `general` now finds the damage itself. ldrps,
            upzeroir, dps, diffpir, ddrm, pigdm, gdp, tao: zero-shot methods, which sample from a prior of clean photographs.
        steps: Network evaluations per draw; more is slower. Default: the model's.
        samples: Draws from the posterior; with several, their mean is written.
        uncertainty: Also write NAME_std.png, how far each place is likely off (a calibrated standard deviation, with a colour bar), and
            NAME_overlay.png, the result in grey with what the model invented tinted. Models without a network for it take at least 8 draws,
            at fidelity 0 unless one is given.
        seed: Same seed, same pixels (with zero-shot methods: for the same number of threads). 0 to 2^53 - 1.
        fix: The only kinds of damage to fix: haze, shadow, lowlight, noise, blur, jpeg, rain, separated by commas; light for the first
            three, all for all of them. Default: what `unveil describe` finds; where that is nothing, the photograph stays as it is.
        keep: Kinds of damage to leave as they are: --keep light fixes everything else that is found.
        fidelity: 0 samples the posterior (sharp, draws differ), 1 aims at the smallest error. Default: the model's.
        strength: How much of the estimated damage to remove, 0 to 1.
        solver: ancestral, ddim, renoise or 2m; for mean-reverting models (wild) also sde and ode, IR-SDE's own Euler steps,
            all of the trained ones (100) unless --steps says how many.
        grid: Where the steps lie: cubic, or the schedule the model was trained on.
        resolution: coarse_to_fine, hourglass or off.
        self_ensemble: Restore the photograph mirrored and turned too, 2, 4 or 8 times in all, and average: a smaller error, for as many
            times the time.
        compare: Also write NAME_compare.png, before and after side by side.
        recursive: Search folders within folders too; the tree is mirrored in the output folder.
        follow_links: With --recursive: folders that are links too, each real folder once.
        skip_existing: Leave alone what has its output already, whole and not older than its photograph; after an interruption, go on with
            the same call.
        keep_times: Give outputs the times of their photographs.
        suffix: Put this behind the name of every output: photo.jpg becomes photoSUFFIX.jpg.
        ext: Format of the outputs by suffix (png, jpg, tif, ...). Default: each photograph's own.
        strip: Write no EXIF (position, camera), XMP and comments. The colour profile stays.
        tone_map: Bring high dynamic range photographs (PQ, HLG) to standard range by ITU-R BT.2446 method A, instead of refusing them.
        manifest: Append one line of JSON per photograph to this file.
        frames: Write the estimate after every evaluation into this folder, as NAME_0001.png and so on.
        tile: Longest side of the tiles that the network sees: auto, auto:N for at most N, a number of pixels, or 0 for the whole.
        max_pixels: Refuse larger photographs before decoding them.
        device: auto, cpu, cuda, ...
        dtype: auto, fp32, bf16 or fp16.
        engine: What evaluates a trained model's network: torch, onnx (ONNX Runtime) or openvino; all on this machine's processor
            but torch, and with their own last digits.
        shard: K/N: restore only the Kth of N shares of the photographs, which go by their names; for many machines side by side.
        cluster: Restore on a Ray cluster: `local` for one on this machine, `auto`, or its address.
        workers: With --cluster: processes, each with its own model; 0 for as many as there is room for.
        worker_cpus: With --cluster: processors for each, fractions too.
        worker_gpus: With --cluster: GPUs for each, fractions too.
        json_lines: Print one line of JSON per file instead of text.
        mask: For published networks that are shown where the damage is (Resfusion's, RDDM's for ISTD): an image of the photograph's size,
            white there; or a folder of masks that have their photographs' names.
        yes: Zero-shot methods say how long they take before they begin; begin also where that is more than ten minutes in all.

    """
    check_hyphens(inputs, "restore", _OPTIONS)
    if not inputs:
        raise InputError("nothing to restore: name at least one photograph")
    if output is None and Path("-") in inputs:
        raise InputError("standard input has no name to write beside; name a file with -o, or -o - for standard output")
    if output is not None and output.startswith("-") and output != "-":
        raise InputError(f"-o requires a file or a folder, not {output}; write ./{output} for a name like that")
    spread = _cluster(cluster, workers, worker_cpus, worker_gpus, frames)

    if "torch" not in sys.modules:  # not where the function is called from another program or a test
        keep_freed_memory()
    with _without_garbage_collection() if method in (None, AUTO, TRAINED) else nullcontext():
        from unveil.jobs import outputs
        from unveil.jobs.batch import Handling, run
        from unveil.jobs.inputs import STANDARD, find, share
        from unveil.jobs.manifest import Manifest
        from unveil.options import Options
        from unveil.restorer import Restorer

        opening = partial(_restorer, method, name, zero, device, dtype, engine, mask)
        restorer = opening()
        says = isinstance(restorer, Restorer) and restorer.model.doubt is not None
        if uncertainty and not says:  # at fidelity 0 draws differ most, and their spread is calibrated there
            samples = max(samples, ENOUGH_DRAWS)
            if fidelity is None and isinstance(restorer, Restorer):  # zero-shot methods have none
                fidelity = 0.0
        options = Options(
            steps,
            samples,
            seed,
            fidelity,
            strength,
            solver,
            grid,
            resolution,
            int(tile) if tile.isdecimal() else tile,
            max_pixels=max_pixels,
            fix=fix,
            keep=keep,
            uncertainty=uncertainty and says,
            self_ensemble=self_ensemble,
        )
        restorer.resolve(options)  # a wrong setting is a usage error, not one per file
    asked = suffix
    place, folder = (None, False) if output is None else (Path(output), output.endswith(("/", "\\")))
    items = find(
        inputs,
        recursive=recursive,
        leave_out=None if place in (None, STANDARD) else place,
        follow_links=follow_links,
        tell=say,
    )
    if place is None:
        suffix = suffix or SUFFIX
    else:
        outputs.check_folder(items, place, folder=folder)
    if suffix and place != STANDARD:
        found, items = items, outputs.without_own(items, suffix, place)
        if own := sorted({item.source for item in found} - {item.source for item in items}):
            say(
                f"{several(own)}: written by an earlier call beside its photograph, passed over; name it alone to restore it"
            )
    if shard:
        folder = folder or len(items) > 1  # where an output lies does not depend on the share
        items = share(items, shard)
    wanted = {"std": uncertainty, "overlay": uncertainty, "compare": compare}
    extras = [kind for kind, asked in wanted.items() if asked]
    jobs = outputs.plan(
        items,
        place,
        folder=folder,
        suffix=suffix,
        ext=ext,
        extras=extras,
        manifest=manifest,
        frames=frames,
        reads=_masks(mask, zero.operator),
    )
    seconds, asks = 0.0, not yes and spread is None
    if asks or not json_lines:
        seconds = _print_estimate(restorer, jobs, options, skip_existing=skip_existing, quiet=json_lines)
    if asks and seconds > LONG:
        from unveil.util.words import duration

        raise InputError(f"about {duration(seconds)} in all, which is long; add --yes to begin, or take fewer --steps")
    if frames is not None:
        _make_folder(frames)
    seen: dict[str, int] = {}
    watch = None if _is_unwatched(json_lines, frames) else _watch(restorer, jobs, samples, json_lines, frames)
    rows = sys.stderr if place == STANDARD else sys.stdout

    with Manifest(manifest) as kept:

        def report(row: Row) -> None:
            seen[row.status] = seen.get(row.status, 0) + 1
            kept.add(row)
            _print_row(row, json_lines, rows)

        handling = Handling(skip_existing, strip, ext, keep_times, tone_map)
        if spread is not None:
            from unveil.jobs.cluster import restore as on_cluster

            on_cluster(opening, jobs, options, report, handling=handling, cluster=spread)
        else:
            with warnings.catch_warnings(action="ignore", category=UnveilWarning):  # they are part of the printed rows
                run(restorer, jobs, options, report, handling=handling, watch=watch)
    failed = seen.get("failed", 0)
    if seen.get("restored") and not json_lines and sys.stderr.isatty():
        given: dict[str, object] = {"mask": mask, "suffix": asked, "dtype": dtype, "engine": engine, "ext": ext}
        given |= {"tone-map": tone_map, "recursive": recursive, "follow-links": follow_links, "max-pixels": max_pixels}
        usual = {"dtype": "auto", "engine": "torch", "ext": "auto", "max-pixels": MOST_PIXELS}
        told = {option: value for option, value in given.items() if value and value != usual.get(option)}
        _print_command(
            inputs, output, options, "" if method in (None, AUTO, TRAINED) else method, name, zero.given() | told
        )
    return exit_status(failed, sum(seen.values()) - failed)


def _masks(mask: Path | None, operator: str | None) -> list[Path]:
    """The pictures that are read beside the photographs."""
    holes = re.search("file=([^,]+)", operator or "")
    named = [*([mask] if mask is not None else []), *([Path(holes[1])] if holes else [])]
    return [path for one in named for path in (one.iterdir() if one.is_dir() else [one])]


def _make_folder(frames: Path) -> None:
    try:
        frames.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{frames}: the folder cannot be made ({error.strerror}); choose another --frames") from error


def _is_unwatched(json_lines: bool, frames: Path | None) -> bool:
    """Whether neither a progress bar nor estimates are wanted, so that the library for them need not be loaded."""
    return frames is None and (json_lines or not sys.stderr.isatty())


def _watch(
    restorer: Restores, jobs: list[outputs.Job], samples: int, quiet: bool, frames: Path | None
) -> Callable[[outputs.Job, int, int], Bar | Frames]:
    """What follows every photograph while it is restored (see `jobs.batch.Watch`)."""
    from unveil.cli.progress import Bar, Frames, Pace

    pace = Pace(len(jobs))

    def watch(job: outputs.Job, number: int, pictures: int) -> Bar | Frames:
        title = f"{number + 1}/{len(jobs)} {job.source}{pace.left(number)}" if len(jobs) > 1 else str(job.source)
        bar = Bar(title, samples, pictures, quiet=quiet)
        return bar if frames is None else Frames(frames, job.target.stem, bar, _value_range(restorer))

    return watch


def _print_command(
    inputs: tuple[Path, ...],
    output: str | None,
    options: Options,
    method: str,
    name: str,
    given: dict[str, object],
) -> None:
    """Print the command that gives the same pixels again, with its seed, on standard error. given: options beside those of all."""
    import shlex

    from unveil.options import command_line

    line = command_line(map(str, inputs), options, model=name, method=method, output=output or "")
    told = "".join(f" --{option}" + ("" if v is True else f" {shlex.quote(str(v))}") for option, v in given.items())
    say(f"the same pixels again: {line}{told}")


def _restorer(
    method: str | None,
    name: str,
    zero: ZeroShotOptions,
    device: str,
    dtype: str,
    engine: str,
    mask: Path | None = None,
) -> Restores:
    """The restorer, by --method and --name or --prior. zero: options of zero-shot methods alone; mask: for trained models."""
    from unveil.loading import load

    method = method or TRAINED
    if mask is not None and method != TRAINED:
        raise InputError(f"--mask is for published networks that are shown one (-n FILE), not for --method {method}")
    if method == AUTO:
        if name != MODEL:
            raise InputError(f"--method {AUTO} chooses the model itself; leave out -n {name}")
        method = TRAINED
    if method == TRAINED:
        alone = [f"--{option}" for option in zero.given()]
        if alone:
            raise InputError(
                f"only zero-shot methods take {', '.join(alone)}; say which with --method (diffpir, ldrps, ...)"
            )
        return load(name, device, dtype, engine=engine, mask=mask)
    if name != MODEL:
        raise InputError(f"-n names a trained model; for --method {method} name a prior with --prior")
    return load(zero.prior, device, dtype, method=method, engine=engine, **zero.settings())


def _value_range(restorer: Restores) -> tuple[float, float]:
    """Range of the images that a restorer's callbacks get; zero-shot priors are wrapped to [-1, 1]."""
    spec = getattr(getattr(restorer, "model", None), "spec", None)
    return (-1.0, 1.0) if spec is None else spec.value_range


def _cluster(address: str, workers: int, cpus: float, gpus: float, frames: Path | None) -> Cluster | None:
    """The requested cluster, None for this process alone. Raises InputError for options that cannot be combined with a cluster."""
    if not address:
        if (workers, cpus, gpus) != (0, 1.0, 0.0):
            raise InputError("--workers, --worker-cpus and --worker-gpus are about a cluster; name one with --cluster")
        return None
    if frames is not None:
        raise InputError("--frames shows one photograph being restored, here; leave out --cluster")
    from unveil.jobs.cluster import Cluster

    return Cluster(address, workers, cpus, gpus)


def _print_estimate(
    restorer: Restores, jobs: list[outputs.Job], options: Options, *, skip_existing: bool, quiet: bool
) -> float:
    """Print how long a zero-shot method is going to take, on standard error, before it begins.

    Returns the seconds for all photographs that are left to do, by their pixels; 0 for trained models, and where no size is known.
    """
    from unveil.restorer import Restorer

    if isinstance(restorer, Restorer):
        return 0.0
    from unveil.jobs.batch import extent_of
    from unveil.jobs.finished import done
    from unveil.jobs.inputs import STANDARD
    from unveil.util.words import duration
    from unveil.zeroshot_restorer import ZeroShotRestorer

    if not isinstance(restorer, ZeroShotRestorer):
        return 0.0
    left = [job for job in jobs if not (skip_existing and job.target != STANDARD and done(job))]
    extents = [(job, extent) for job in left if (extent := extent_of(job.source)) is not None]
    for job, extent in extents:
        with suppress(InputError):  # one that cannot be restored gets its row, and the time is told by the next
            width, height, frames = extent
            told = restorer.estimate(height, width, options)
            first, each = job, told.seconds / _pixels(restorer, (width, height, 1))
            break
    else:
        return 0.0
    seconds = each * sum(_pixels(restorer, extent) for _, extent in extents)
    if not quiet:
        more = f"; {duration(seconds)} for all {len(extents)}" if len(extents) > 1 else ""
        counted = f"{told.evaluations} evaluations a draw" + (f", {frames} frames" if frames > 1 else "")
        say(f"{first.source}: about {duration(frames * told.seconds)} here ({counted}){more}")
    return seconds


def _pixels(restorer: ZeroShotRestorer, extent: tuple[int, int, int]) -> int:
    """Of all pictures of a file that are (width, height, pictures), as the method sees them."""
    *size, pictures = extent
    return pictures * math.prod(max(side, restorer.method.least) for side in size)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Within this context modules are loaded without garbage collection. What was loaded is left out of later collections, which would
    otherwise scan some hundred thousand permanent objects. For commands only, which own their process: a program that imports the library
    gets torch unchanged.
    """
    if "torch" in sys.modules:  # called from another program or a test
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _print_row(row: Row, as_json: bool, rows) -> None:  # type: ignore[no-untyped-def]
    if as_json:
        print(row.to_json(), file=rows, flush=True)
        return
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)  # the bar of the next photograph stands here
    for note in row.notes:
        say(f"{row.input}: {note}")
    if row.status == "failed":
        print_failed(row.input, row.reason)
    elif row.status == "restored":
        print(f"{shown(row.output)}  {row.seconds:.1f} s", file=rows, flush=True)
    else:
        print(f"{shown(row.input)}  {row.status}: {shown(row.reason)}", file=rows, flush=True)


_OPTIONS = [
    "--json",
    *(
        f"--{name.replace('_', '-')}"
        for name in restore.__annotations__
        if name not in ("inputs", "json_lines", "zero")
    ),
    *(f"--{name}" for name in zero_shot.NAMES),
]
