"""What the benchmarks share: the folder of photographs, types of options, files of results, memory."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unveil.bench import record
from unveil.bench.record import Clock, environment, table
from unveil.errors import InputError

__all__ = [
    "HERE", "RESULTS", "Clock", "average", "earlier", "environment", "memory_status",
    "options", "positive", "positive_number", "protocol", "read_json", "shared_folder", "table", "write_json",
]  # fmt: skip
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
MODEL = ("general", "name on the shelf, model file or run folder")
"""The option of what measures a model."""
PICTURES = (HERE.parent / "docs" / "img", "folder for the pictures")
"""The option of what draws."""


def shared_folder() -> Path:
    """The folder of photographs, which is no part of the project: $UNVEIL_SHARED, else `shared` beside the project.

    Ends the program with one line and status 2 where it is absent.
    """
    folder = Path(os.environ.get("UNVEIL_SHARED", HERE.parents[1] / "shared"))
    if not (folder / "data").is_dir():
        print(
            f"benchmark: no photographs at {folder / 'data'}; name the folder that holds data/ by UNVEIL_SHARED",
            file=sys.stderr,
        )
        raise SystemExit(2)
    return folder


def positive(word: str) -> int:
    """A whole number of at least 1, as the type of an option. Raises ArgumentTypeError for another."""
    if not word.isascii() or not word.isdecimal() or int(word) < 1:
        raise ArgumentTypeError(f"a whole number of at least 1, not {word!r}")
    return int(word)


def positive_number(word: str) -> float:
    """A finite number above 0, as the type of an option. Raises ArgumentTypeError for another."""
    with contextlib.suppress(ValueError):
        if 0 < float(word) < float("inf"):
            return float(word)
    raise ArgumentTypeError(f"a number above 0, not {word!r}")


def options(command: ArgumentParser, known: Mapping[str, Any]) -> None:
    """Add options that are written as data.

    Args:
        command: Where to.
        known: Name, or names with a space between -> the words of `add_argument`; or the default, alone or as (default, help) or
            (default, help, choices). What is read is of the default's kind: whole numbers of at least 1, or any where the default is
            0, numbers above 0, paths, words, several of any of these, or a switch for False.

    """
    for names, words in known.items():
        if not isinstance(words, dict):
            default, text, choices = (*words, None)[:3] if isinstance(words, tuple) else (words, "", None)
            several = not isinstance(default, (bool, int, float, str, Path))
            default = list(default) if several else default
            words = {"default": default, "help": text}
            if default is False:
                words["action"] = "store_true"
            else:
                words |= {"type": _kind(default), "choices": choices and list(choices)} | (
                    {"nargs": "*"} if several else {}
                )
                words["help"] += "" if several or isinstance(default, Path) else f" (default {default})"
        command.add_argument(*names.split(), **words)


def _kind(default: Any) -> Callable[[str], Any]:
    """What reads an option with this default."""
    if isinstance(default, list):
        return int if 0 in default else _kind(default[0]) if default else str
    return {int: positive, float: positive_number}.get(type(default), type(default))


def average(rows: Sequence[dict[str, float]], key: str = "psnr") -> float:
    """Mean of one number of several photographs; NaN of none."""
    return sum(row[key] for row in rows) / len(rows) if rows else float("nan")


def protocol(given: Namespace, **about: Any) -> dict[str, Any]:
    """What stands beside the numbers of every result: versions, machine, whether it was a smoke test, and `about`."""
    return {**environment(), "quick": given.quick, **about}


def read_json(path: Path) -> Any:
    """A result that an option names. Raises InputError for a file that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text at all
        raise InputError(f"{path}: no result of a benchmark ({error}); --json writes such files") from None


def earlier(path: Path | None, protocol: dict[str, Any] | None = None) -> dict[str, Any]:
    """The result that stands in a file already; {} where there is none, or one of another protocol. protocol None: of any."""
    before = read_json(path) if path is not None and path.exists() else {}
    return before if protocol is None or before.get("protocol") == json.loads(json.dumps(protocol)) else {}


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result whole or not at all. None: nowhere."""
    if path is not None:
        record.write_json(path, result)
        print(f"wrote {path}")


def memory_status(key: str, pid: int | str = "self") -> int:
    """Bytes of an entry of Linux's /proc/PID/status: VmRSS, what the process holds; VmHWM, the most it held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024
