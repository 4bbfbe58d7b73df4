"""`unveil degrade`: photographs in, the same damaged by a simulator out, each with an account of what was done."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from unveil.cli import check_hyphens, exit_status, print_failed
from unveil.errors import InputError, UnveilError, note
from unveil.util.words import shown


def degrade(
    *inputs: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None,
    kind: Annotated[str, Parameter(show_default=False)] = "",
    severity: float | None = None,
    seed: int = 0,
    recursive: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Damage photographs by a simulator, for tests and training pairs.

    Beside each output an account of what was done is written, under its name with .json added: the kind, the seed, and
    every parameter that was drawn; for kind wild every operation in order.

    Args:
        inputs: Files, folders or globs to damage, or `-` for standard input.
        output: File to write; or folder (made if missing) when there are several inputs, or it ends in a slash or has no
            suffix; `-`: standard output, where --json prints the account on standard error, and none is written.
            Default: NAME_KIND beside each photograph.
        kind: Needed: haze, shadow, lowlight, noise, blur, jpeg, rain or wild (blur, resizing, noise and compression, shuffled).
        severity: From 0, the mildest, to 1, the strongest. Default: drawn at random; for wild every strength on its own.
        seed: The same seed and file name give the same damage, whatever other files are named.
        recursive: Search folders within folders too; the tree is mirrored in the output folder.
        as_json: Print the accounts, one line of JSON per file, instead of the names.

    """
    check_hyphens(inputs, "degrade", ("--output", "--kind", "--severity", "--seed", "--recursive", "--json"))
    if not inputs:
        raise InputError("nothing to degrade: name at least one photograph")
    if not kind:  # not left to the parser, which would say so where the option is mistyped
        raise InputError("--kind is missing: say which damage, such as --kind noise. See `unveil degrade --help`.")
    from unveil.degradation.registry import simulator
    from unveil.jobs import outputs
    from unveil.jobs.inputs import STANDARD, find

    simulator(kind)
    kind = kind.lower()
    if severity is not None and not 0.0 <= severity <= 1.0:
        raise InputError(f"severity must lie in [0, 1] (0 mildest, 1 strongest), not {severity}")
    if output is not None and output.startswith("-") and output != "-":
        raise InputError(f"-o requires a file or a folder, not {output}; write ./{output} for a name like that")
    place = None if output is None else Path(output)
    if output is None and STANDARD in inputs:
        raise InputError("standard input has no name to write beside; name a file with -o, or -o - for standard output")
    items = find(inputs, recursive=recursive, leave_out=place, tell=note)
    if output is None:
        suffix = f"_{kind}"
        jobs = outputs.plan(outputs.without_own(items, suffix), None, suffix=suffix)
    else:
        jobs = outputs.plan(items, place, folder=output.endswith(("/", "\\")))
    failed = 0
    for job in jobs:
        try:
            account = _degrade(job.source, job.target, kind, severity, seed)
        except UnveilError as error:
            failed += 1
            print_failed(job.source, error, as_json)
            continue
        rows = sys.stderr if place == STANDARD else sys.stdout
        print(json.dumps(account) if as_json else shown(job.target), file=rows, flush=True)
    return exit_status(failed, len(jobs) - failed)


def _degrade(source: Path, target: Path, kind: str, severity: float | None, seed: int) -> dict[str, Any]:
    import torch

    from unveil import __version__, degradation, photo
    from unveil.degradation.primitives import own_seed
    from unveil.jobs.inputs import STANDARD, stream_of
    from unveil.util import atomic
    from unveil.util.tensors import batch_of, pixels_of

    picture = photo.read(stream_of(source))
    y, drawn = degradation.apply(
        kind, batch_of(picture.pixels), torch.Generator().manual_seed(own_seed(seed, source.name)), severity
    )
    notes = photo.write(picture, pixels_of(y), sys.stdout.buffer if target == STANDARD else target)
    account = {
        "input": str(source),
        "output": str(target),
        "status": "degraded",
        "kind": kind,
        "seed": seed,
        "unveil": __version__,
        "notes": list(dict.fromkeys([*picture.notes, *notes])),
        **degradation.report(kind, drawn),
    }
    if target != STANDARD:
        atomic.replace(target.with_name(target.name + ".json"), (json.dumps(account, indent=1) + "\n").encode())
    return account
