"""`unveil describe`: which kinds of damage a photograph has, with probabilities, and which network estimated them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from unveil.cli import check_hyphens, exit_status, print_failed
from unveil.errors import InputError, UnveilError, note
from unveil.util.words import shown

if TYPE_CHECKING:
    from unveil.models.describer import Description

SHOWN = 0.2
"""Least probability that a printed line mentions."""


def describe(
    *inputs: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    name: Annotated[str, Parameter(name=["--name", "-n"])] = "describe",
    recursive: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Name what is wrong with photographs: haze, shadow, low light, noise, blur, compression, rain, or nothing.

    Probabilities of the classifier that ships are independent: a photograph can be dark and noisy. Those of a DA-CLIP sum to one.

    Args:
        inputs: Files, folders, globs, or `-` for standard input.
        name: The network: describe, the small classifier that ships, or the file of a DA-CLIP made by `unveil models import`.
        recursive: Search folders within folders too.
        as_json: Print one line of JSON per photograph, with every probability.

    """
    check_hyphens(inputs, "describe", ("--name", "--recursive", "--json"))
    if not inputs:
        raise InputError("nothing to describe: name at least one photograph")
    from unveil import photo
    from unveil.jobs.inputs import find, stream_of
    from unveil.models import describer

    items = find(inputs, recursive=recursive, tell=note)
    speaker = describer.load(name)
    if not as_json:
        print(f"# {speaker.speaker}", flush=True)
    failed = 0
    for item in items:
        try:
            said = speaker.describe(photo.read(stream_of(item.source)).pixels)
        except UnveilError as error:
            failed += 1
            print_failed(item.source, error, as_json)
            continue
        print(_json(item.source, said) if as_json else f"{shown(item.source)}  {in_words(said)}", flush=True)
    return exit_status(failed, len(items) - failed)


def in_words(said: Description) -> str:
    """Kinds and probabilities as text: the likely ones, and the likeliest in any case."""
    named = [(k, p) for k, p in said.probabilities.items() if p >= SHOWN or k == said.likeliest]
    return ", ".join(f"{kind} {p:.0%}" for kind, p in named)


def _json(path: Path, said: Description) -> str:
    probabilities = {kind: round(p, 4) for kind, p in said.probabilities.items()}
    return json.dumps(
        {
            "input": str(path),
            "status": "described",
            "probabilities": probabilities,
            "exclusive": said.exclusive,
            "by": said.speaker,
        }
    )
