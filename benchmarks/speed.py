"""Seconds and memory of one restoration: in all, inside the network, and against a single pass of the network.

    python -m benchmarks speed --model general --threads 2 --json benchmarks/results/speed.json

The measuring is that of `unveil bench speed`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks._pages import Value
from benchmarks._shared import write_json
from unveil.bench import speed

NAME = "speed"


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """What a page may quote: `off.fp32.seconds`, `off.fp32.outside` (%), `off.fp32.passes`, `off.fp32.peak` (MiB), the table."""
    made: dict[str, Value | str] = {"table.speed": speed.markdown(result)}
    for row in result["rows"]:
        for key, value in speed.numbers(row).items():
            made[f"{row['resolution']}.{row['dtype']}.{key}"] = Value([value], 0 if key == "peak" else 2)
    return made


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--model", default="general", help="name on the shelf, model file or run folder")
    command.add_argument("--size", type=int, default=512, help="side of the square photograph in pixels (default 512)")
    command.add_argument("--steps", type=int, default=5)
    command.add_argument("--repeats", type=int, default=3, help="runs of which the median counts (default 3)")


def main(arguments: Namespace) -> None:
    size, repeats = (64, 1) if arguments.quick else (arguments.size, arguments.repeats)
    result = speed.measure(
        arguments.model, size=size, steps=arguments.steps, repeats=repeats, threads=arguments.threads
    )
    result["protocol"]["quick"] = arguments.quick
    print(facts(result)["table.speed"])
    write_json(arguments.json, result)
