"""Many measurements, one command: `python -m benchmarks NAME ...`, and for what makes weights `python -m recipes NAME ...`.

A module says in its docstring what it is, and which options it has in `OPTIONS` (`_shared.options`), or adds them in `arguments(command)`.
One that measures has

    measure(given) -> result    its "protocol" made by `_shared.protocol`
    facts(result)               what pages may quote by name; what is called "table..." is printed, or what `show(result)` returns

and the rest (printing, processor time, --json, --show) is done here. Another works in `main(given)`, whose result, if any, is the exit
status. A module with `REST = True` is also given what nobody knows, as `given.rest`.
"""

from __future__ import annotations

import difflib
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks._pages import tables
from benchmarks._shared import HERE, Clock, options, positive, read_json, write_json
from unveil.errors import Cancelled, UnveilError

STARTED = time.monotonic()


def measuring(command: ArgumentParser, module: Any) -> None:
    """The options of everything that measures, and of a module that leaves the rest to the runner."""
    command.add_argument("--json", type=Path, metavar="OUT", help="write the numbers and their protocol here")
    command.add_argument(
        "--quick", action="store_true", help="a smoke test: runs everything, measures nothing worth quoting"
    )
    command.add_argument("--threads", type=positive, default=1, help="threads of torch (default 1)")
    if hasattr(module, "measure"):
        command.add_argument("--show", type=Path, metavar="FILE", help="measure nothing: print an earlier result")


def measured(name: str, module: Any, given: Namespace) -> None:
    """Measure, print and write."""
    clock = Clock()
    result = read_json(given.show) if given.show else {"benchmark": name, **module.measure(given)}
    write_json(given.json, result)
    print(module.show(result) if hasattr(module, "show") else tables(module.facts(result)))
    print(f"{clock.processor:.0f} s of processor time, {clock.wall:.0f} s in all")


def listed(package: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The names by group, each with the first line of its file; nothing is imported."""
    lines = [f"python -m {package} NAME ...      (NAME --help tells the options)"]
    for group, names in groups.items():
        lines += ["", f"{group}:"]
        for name in names:
            with (HERE.parent / package / f"{name}.py").open(encoding="utf-8") as source:
                lines.append(f"  {name:18} {source.readline().strip().strip(chr(34))}")
    return "\n".join(lines)


def parser(package: str, name: str, measures: bool) -> ArgumentParser:
    """The options of one module. measures: those of `measuring` too."""
    module = import_module(f"{package}.{name}")
    command = ArgumentParser(
        prog=f"python -m {package} {name}", description=module.__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    if measures:
        measuring(command, module)
    options(command, getattr(module, "OPTIONS", {}))
    if hasattr(module, "arguments"):
        module.arguments(command)
    return command


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
        The exit status: that of the module, 2 for a name that is not known and for what a user can mend, which is told in one line,
        1 for a file that cannot be read or written, 130 for what was stopped.

    """
    # Of this process's own command line the time that it took to begin counts too.
    began = STARTED if words is None else time.monotonic()
    words = sys.argv[1:] if words is None else words
    if not words or words[0] in ("-h", "--help"):
        print(listed(package, groups))
        return 0
    name, known = words[0], [name for names in groups.values() for name in names]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}?" if near else f"`python -m {package}` lists what there is"
        print(f"python -m {package}: nothing is called {name!r}; {meant}", file=sys.stderr)
        return 2
    module = import_module(f"{package}.{name}")
    command = parser(package, name, name not in plain)
    given, rest = command.parse_known_args(words[1:])
    if rest and not getattr(module, "REST", False):
        command.error(f"unrecognized arguments: {' '.join(rest)}")
    given.rest, given.started = rest, began
    if name not in plain:
        import torch

        torch.set_num_threads(given.threads)
    try:
        if not hasattr(module, "measure"):
            return module.main(given) or 0
        measured(name, module, given)
        return 0
    except UnveilError as error:
        said, status = str(error), 2
    except (KeyboardInterrupt, Cancelled) as stopped:
        said, status = str(stopped) or "stopped", 130
    except OSError as error:
        if error.filename is None:  # of no file that anybody named
            raise
        said, status = f"{error.filename}: {error.strerror}; check the path", 1
    print(f"{command.prog}: {said}", file=sys.stderr)
    return status
