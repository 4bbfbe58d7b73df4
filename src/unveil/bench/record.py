"""What stands beside a measurement (versions, machine, seconds), and writing it down."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unveil import __version__
from unveil.util.words import shown


def environment() -> dict[str, Any]:
    """Versions and class of machine, without names."""
    import torch

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
        """Processor seconds so far."""
        return time.process_time() - self._processor

    @property
    def wall(self) -> float:
        """Wall seconds so far."""
        return time.perf_counter() - self._wall


def peak_bytes() -> int:
    """Peak resident memory of this process so far, in bytes. Raises ImportError on Windows, which does not count it so."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def rounded(value: Any) -> Any:
    """Floats to six significant digits: more are noise, and make every diff unreadable."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


def to_json(result: dict[str, Any]) -> str:
    """The result as text, floats `rounded`."""
    return json.dumps(rounded(result), indent=1, ensure_ascii=False) + "\n"


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write a result whole or not at all. Raises InputError where the folder or disk refuses."""
    from unveil.util.atomic import replace

    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, to_json(result).encode())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, columns padded, first column to the left and the others to the right."""
    cells = [[shown(c) for c in row] for row in (head, *rows)]
    width = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, width, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(width)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])
