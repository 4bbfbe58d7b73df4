"""Seconds and memory of one restoration: in all, inside the network, and against a single pass of the network.

    python benchmarks/speed.py --model general --threads 2 --json benchmarks/results/speed.json

Every row is measured in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from _pages import Value
from _shared import Clock, environment, parser, table, use_threads, write_json

NAME = "speed"
ROWS = (("coarse_to_fine", "fp32"), ("off", "fp32"), ("coarse_to_fine", "bf16"), ("off", "bf16"))


def single(
    model: str, resolution: str, dtype: str, size: int, steps: int, repeats: int, threads: int
) -> dict[str, Any]:
    """One row: the run with the median total of `repeats`, after one that warms up."""
    import resource

    import numpy as np
    import torch

    from unveil.restorer import load

    use_threads(threads)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    restorer = load(model, "cpu", dtype)
    photo = np.random.default_rng(0).integers(
        0, 256, (size, size, 3), dtype=np.uint8
    )  # speed does not depend on content
    runs = []
    for seed in range(repeats + 1):
        clock = Clock()
        out = restorer.restore(photo, seed=seed, steps=steps, resolution=resolution)
        runs.append(
            {"seconds": out.seconds, "network_seconds": out.network_seconds, "processor_seconds": clock.processor}
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = sorted(runs[1:], key=lambda r: r["seconds"])[repeats // 2]

    state = torch.zeros(1, 3, size, size)
    forwards = []
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
        for _ in range(repeats + 1):
            clock = Clock()
            restorer.model.predict(state, state, 0.5, 0.0)
            forwards.append(clock.wall)
    return {
        "resolution": resolution,
        "dtype": dtype,
        **best,
        "forward_seconds": sorted(forwards[1:])[repeats // 2],
        "peak_bytes": peak * 1024,
        "bytes_after_imports": loaded * 1024,
        "protocol_of_run": {k: out.protocol[k] for k in ("model", "sha256", "grid", "steps", "solver", "fidelity")},
    }


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """What a page may quote: `off.fp32.seconds`, `off.fp32.outside` (%), `off.fp32.passes`, `off.fp32.peak` (MiB), the table."""
    made: dict[str, Value | str] = {}
    body = []
    for row in result["rows"]:
        name = f"{row['resolution']}.{row['dtype']}"
        made[f"{name}.seconds"] = Value([row["seconds"]])
        made[f"{name}.network"] = Value([row["network_seconds"]])
        made[f"{name}.outside"] = Value([100 * (1 - row["network_seconds"] / row["seconds"])])
        made[f"{name}.forward"] = Value([row["forward_seconds"]])
        made[f"{name}.passes"] = Value([row["seconds"] / row["forward_seconds"]])
        made[f"{name}.peak"] = Value([row["peak_bytes"] / 2**20], 0)
        keys = ("seconds", "network", "outside", "forward", "passes", "peak")
        body.append(
            [f"{row['resolution'].replace('_', ' ')}, {row['dtype']}", *[str(made[f"{name}.{k}"]) for k in keys]]
        )
    size = result["protocol"]["size"]
    made["table.speed"] = table(
        [f"{size}x{size}, {result['protocol']['steps']} steps", "seconds", "in the network", "outside (%)", "one pass (s)",
         "total in passes", "peak memory (MiB)"],
        body,
    )  # fmt: skip
    return made


def main() -> None:
    command = parser(__doc__ or "")
    command.add_argument("--model", default="general", help="name on the shelf, model file or run folder")
    command.add_argument("--size", type=int, default=512, help="side of the square photograph in pixels (default 512)")
    command.add_argument("--steps", type=int, default=5)
    command.add_argument("--repeats", type=int, default=3, help="runs of which the median counts (default 3)")
    command.add_argument(
        "--row", nargs=2, metavar=("RESOLUTION", "DTYPE"), help="measure one row here and print it as JSON"
    )
    arguments = command.parse_args()
    size, repeats = (64, 1) if arguments.quick else (arguments.size, arguments.repeats)
    if arguments.row:
        print(json.dumps(single(arguments.model, *arguments.row, size, arguments.steps, repeats, arguments.threads)))
        return
    use_threads(arguments.threads)
    rows = []
    for resolution, dtype in ROWS:
        passed = [
            "--model",
            arguments.model,
            "--size",
            str(size),
            "--steps",
            str(arguments.steps),
            "--repeats",
            str(repeats),
        ]
        own = [
            sys.executable,
            str(Path(__file__)),
            *passed,
            "--threads",
            str(arguments.threads),
            "--row",
            resolution,
            dtype,
        ]
        done = subprocess.run(own, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
            raise SystemExit(done.returncode)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    run = rows[0]["protocol_of_run"]
    for row in rows:
        del row["protocol_of_run"]
    result = {
        "benchmark": NAME,
        "protocol": {
            **environment(),
            "quick": arguments.quick,
            **run,
            "size": size,
            "samples": 1,
            "repeats": f"median of {repeats} runs after one warm-up, wall seconds, each row in its own process",
            "forward": "one pass of the predictor (with its padding) at the same size",
            "peak_bytes": "peak resident memory of the process: interpreter, torch, weights and restoration",
        },
        "rows": rows,
    }
    print(facts(result)["table.speed"])
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
