"""What every benchmark needs: the folder of photographs, the clock, the protocol that stands beside a number, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Threads that spin while they wait slow two busy processes down six-fold; must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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


def environment() -> dict[str, Any]:
    """Versions and class of machine, without names."""
    import torch

    from unveil import __version__

    return {
        "unveil": __version__,
        "torch": torch.__version__.split("+")[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU, {torch.get_num_threads()} thread(s) used",
    }


class Clock:
    """Processor seconds (all threads of this process) and wall seconds since it was made."""

    def __init__(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    @property
    def processor(self) -> float:
        return time.process_time() - self._processor

    @property
    def wall(self) -> float:
        return time.perf_counter() - self._wall


def write_json(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result whole or not at all. None: nowhere."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    print(f"wrote {path}")


def rounded(value: Any) -> Any:
    """Floats to six significant digits: more are noise, and make every diff unreadable."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


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


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, columns padded, first column to the left and the others to the right."""
    cells = [[str(c) for c in row] for row in (head, *rows)]
    width = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, width, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(width)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])
