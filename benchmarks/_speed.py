"""What a page may quote of `unveil bench speed`."""

from __future__ import annotations

from typing import Any

from benchmarks._pages import Value
from unveil.bench import speed


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """What a page may quote: `off.fp32.seconds`, `off.fp32.outside` (%), `off.fp32.passes`, `off.fp32.peak` (MiB), the table."""
    made: dict[str, Value | str] = {"table.speed": speed.markdown(result)}
    for row in result["rows"]:
        for key, value in speed.numbers(row).items():
            made[f"{row['resolution']}.{row['dtype']}.{key}"] = Value([value], 0 if key == "peak" else 2)
    return made
