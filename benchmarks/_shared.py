"""What the benchmarks share: the folder of photographs, processes of their own, ablations, and what `unveil.bench.record` has."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Threads that spin while they wait slow two busy processes down six-fold; must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from unveil.bench import record
from unveil.bench.record import Clock, environment, table
from unveil.errors import InputError

__all__ = [
    "HERE", "RESULTS", "Clock", "ablation", "alone", "environment", "memory_status", "merged", "positive",
    "positive_number", "read_json", "seeded_options", "shared_folder", "table", "use_threads", "write_json",
]  # fmt: skip
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


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


def read_json(path: Path) -> Any:
    """A result that an option names. Raises InputError for a file that is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no text at all
        raise InputError(f"{path}: no result of a benchmark ({error}); --json writes such files") from None


def use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def alone(name: str, *words: str) -> dict[str, Any]:
    """What a benchmark of this name prints last, as JSON, in a process of its own: where memory is measured."""
    call = [sys.executable, "-m", "benchmarks", name, *words]
    ran = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    return json.loads(ran.stdout.splitlines()[-1])


def memory_status(key: str) -> int:
    """Bytes of an entry of Linux's /proc/self/status: VmRSS, what the process holds; VmHWM, the most it held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result whole or not at all. None: nowhere."""
    if path is not None:
        record.write_json(path, result)
        print(f"wrote {path}")


def merged(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One result of several that differ in their seed: lists are joined; everything else, and the protocol, must agree."""

    def join(values: Sequence[Any], where: str) -> Any:
        first = values[0]
        if isinstance(first, dict) and where != "/protocol":
            if any(v.keys() != first.keys() for v in values):
                raise SystemExit(f"benchmark: the results to merge differ in what they hold at {where or 'the top'}")
            return {k: join([v[k] for v in values], f"{where}/{k}") for k in first}
        if isinstance(first, list):
            return [item for v in values for item in v]
        if any(v != first for v in values):
            raise SystemExit(
                f"benchmark: the results to merge differ at {where}: {values}; were they made by one version?"
            )
        return first

    return join(results, "")


def seeded_options(command: ArgumentParser) -> None:
    """The options of an ablation, beside those of everything that measures."""
    command.add_argument("--seed", type=int, help="this seed alone")
    command.add_argument(
        "--length", type=positive_number, default=1.0, metavar="SHARE", help="of the steps of training (default: all)"
    )
    command.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="results of single seeds, instead of measuring"
    )


def ablation(
    given: Namespace,
    seeds: Sequence[int],
    measure: Callable[[int, bool, float], dict[str, Any]],
    report: Callable[[dict[str, Any]], str],
) -> None:
    """An ablation: its seeds one after the other, one alone, or results of single seeds put together.

    measure(seed, quick, length): the result of one seed, trained for that share of the steps. report: what is printed of the whole.
    """
    if given.merge:
        result = merged([read_json(p) for p in given.merge])
    else:
        shared_folder()
        clock, parts = Clock(), []
        for seed in seeds if given.seed is None else (given.seed,):
            print(f"seed {seed}", flush=True)
            parts.append(measure(seed, given.quick, given.length))
        result = merged(parts)
        print(f"{clock.processor:.0f} s of processor time, {clock.wall:.0f} s in all")
    print(report(result))
    write_json(given.json, result)
