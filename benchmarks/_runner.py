"""Many measurements, one command: `python -m benchmarks NAME ...`, and for what makes weights `python -m recipes NAME ...`.

A module says in its docstring what it is, adds options of its own in `arguments(command)` and works in `main(given)`, whose result, if
any, is the exit status. A module with `REST = True` is also given what nobody knows, as `given.rest`.
"""

from __future__ import annotations

import difflib
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks._shared import HERE, use_threads

STARTED = time.monotonic()


def measuring(command: ArgumentParser) -> None:
    """The options of everything that measures."""
    command.add_argument("--json", type=Path, metavar="OUT", help="write the numbers and their protocol here")
    command.add_argument(
        "--quick", action="store_true", help="a smoke test: runs everything, measures nothing worth quoting"
    )
    command.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")  # fmt: skip


def listed(package: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The names by group, each with the first line of its file; nothing is imported."""
    lines = [f"python -m {package} NAME ...      (NAME --help tells the options)"]
    for group, names in groups.items():
        lines += ["", f"{group}:"]
        for name in names:
            with (HERE.parent / package / f"{name}.py").open(encoding="utf-8") as source:
                lines.append(f"  {name:18} {source.readline().strip().strip(chr(34))}")
    return "\n".join(lines)


def run(
    package: str, groups: Mapping[str, Sequence[str]], plain: Collection[str] = (), words: Sequence[str] | None = None
) -> int:
    """Do what the command line asks for.

    Args:
        package: Where the modules are.
        groups: Title of a group -> names of its modules.
        plain: Names without the options of `measuring`.
        words: The command line after the program's name; None for this process's own.

    Returns:
        The exit status: 2 for a name that is not known.

    """
    words = sys.argv[1:] if words is None else words
    if not words or words[0] in ("-h", "--help"):
        print(listed(package, groups))
        return 0
    name, known = words[0], [name for names in groups.values() for name in names]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        print(f"python -m {package}: nothing is called {name!r}{meant}", file=sys.stderr)
        return 2
    module = import_module(f"{package}.{name}")
    command = ArgumentParser(
        prog=f"python -m {package} {name}", description=module.__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    if name not in plain:
        measuring(command)
    if hasattr(module, "arguments"):
        module.arguments(command)
    given, rest = command.parse_known_args(words[1:])
    if rest and not getattr(module, "REST", False):
        command.error(f"unrecognized arguments: {' '.join(rest)}")
    given.rest, given.started = rest, STARTED
    if name not in plain:
        use_threads(given.threads)
    return module.main(given) or 0
