"""The command that gives the same pixels again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from unveil.models.treatment import kinds_of
from unveil.options import Options

MODEL = "general"
"""What `unveil restore` uses when no model is named."""


def command(
    inputs: Iterable[str],
    options: Options,
    *,
    model: str = MODEL,
    method: str = "",
    preset: str = "",
    output: str = "",
    protocol: Mapping[str, Any] | None = None,
) -> str:
    """`unveil restore ...` as a line for a shell, on the machine and version that restored it.

    Args:
        inputs: The photographs.
        options: How they were restored; what is as it is by default is left out, but for the seed.
        model: The trained model.
        method: A zero-shot method in its place.
        preset: The method's settings by name, empty for its own.
        output: Where to, empty for beside the photograph.
        protocol: Of one restoration; its tiles and precision are written too, since they change pixels and another machine might choose
            others.

    """
    words = ["unveil", "restore", *(f"./{name}" if name.startswith("-") and name != "-" else name for name in inputs)]
    if output:
        words += ["-o", output]
    if method:
        words += ["--method", method, *(["--preset", preset] if preset else [])]
    elif model != MODEL:
        words += ["-n", model]
    if options.fix is not None:
        words += ["--fix", ",".join(kinds_of(options.fix))]
    if options.keep:
        words += ["--keep", ",".join(kinds_of(options.keep, "keep"))]
    words += ["--seed", str(options.seed)]
    default = Options()
    for name in ("steps", "samples", "fidelity", "strength", "solver", "grid", "resolution"):
        value = getattr(options, name)
        if value != getattr(default, name):
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    if options.uncertainty:
        words.append("--uncertainty")
    known = protocol or {}
    tile = known.get("tile", options.tile)
    if tile != default.tile:
        words += ["--tile", str(tile)]
    if "dtype" in known and not method:
        words += ["--dtype", str(known["dtype"])]
    return shlex.join(words)
