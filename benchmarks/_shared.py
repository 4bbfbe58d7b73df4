"""What every benchmark script needs: the folder of photographs, its command line, and what `unveil.bench.record` has."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Threads that spin while they wait slow two busy processes down six-fold; must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from unveil.bench import record
from unveil.bench.record import Clock, environment, rounded, table

__all__ = [
    "HERE", "RESULTS", "Clock", "ablation", "environment", "merged", "parser", "rounded", "shared_folder", "table", "use_threads",
    "write_json",
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


def parser(description: str) -> argparse.ArgumentParser:
    """A command line with what all benchmarks share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="OUT", help="write the numbers and their protocol here")
    made.add_argument(
        "--quick", action="store_true", help="a smoke test: runs everything, measures nothing worth quoting"
    )
    made.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    return made


def use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


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


def ablation(
    description: str,
    seeds: Sequence[int],
    measure: Callable[[int, bool, float], dict[str, Any]],
    report: Callable[[dict[str, Any]], str],
) -> None:
    """The command of an ablation: its seeds one after the other, one alone, or results of single seeds put together.

    measure(seed, quick, length): the result of one seed, trained for that share of the steps. report: what is printed of the whole.
    """
    command = parser(description)
    command.add_argument("--seed", type=int, help="this seed alone")
    command.add_argument(
        "--length", type=float, default=1.0, metavar="SHARE", help="of the steps of training (default: all)"
    )
    command.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE", help="results of single seeds, instead of measuring"
    )
    arguments = command.parse_args()
    if arguments.merge:
        result = merged([json.loads(p.read_text()) for p in arguments.merge])
    else:
        shared_folder()
        use_threads(arguments.threads)
        clock, parts = Clock(), []
        for seed in seeds if arguments.seed is None else (arguments.seed,):
            print(f"seed {seed}", flush=True)
            parts.append(measure(seed, arguments.quick, arguments.length))
        result = merged(parts)
        print(f"{clock.processor:.0f} s of processor time, {clock.wall:.0f} s in all")
    print(report(result))
    write_json(arguments.json, result)
