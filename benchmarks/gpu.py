"""Seconds and memory of a restoration on a GPU, by size and arithmetic.

    python -m benchmarks gpu --model general --json benchmarks/results/gpu.json

The photograph begins and ends in the computer's memory: copying it there and back is counted. Median of `--repeats` runs after one that
warms up, a new seed each.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks._pages import Value
from benchmarks._shared import environment, positive, table, write_json

NAME = "gpu"
SIZES = ((512, 512), (2048, 2048), (3000, 4000))
DTYPES = ("fp32", "bf16")


def once(restorer: Any, shape: tuple[int, int], repeats: int) -> dict[str, Any]:
    import numpy as np
    import torch

    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)  # content does not matter
    torch.cuda.reset_peak_memory_stats()
    runs = [restorer.restore(photo, seed=seed) for seed in range(repeats + 1)][1:]
    middle = sorted(runs, key=lambda out: out.seconds)[repeats // 2]
    return {
        "height": shape[0],
        "width": shape[1],
        "dtype": middle.protocol["dtype"],
        "seconds": middle.seconds,
        "network_seconds": middle.network_seconds,
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }


def measure(model: str, repeats: int, quick: bool) -> dict[str, Any]:
    import torch

    import unveil

    if not torch.cuda.is_available():
        raise SystemExit("benchmark: there is no GPU here; this measures one")
    rows = []
    for dtype in DTYPES:
        restorer = unveil.load(model, device="cuda", dtype=dtype)
        rows += [once(restorer, shape, repeats) for shape in (SIZES[:1] if quick else SIZES)]
    sha256 = restorer.model.sha256
    device = torch.cuda.get_device_name(0)
    about = {"quick": quick, "model": model, "sha256": sha256, "device": device, "repeats": repeats}
    return {"benchmark": NAME, "protocol": {**environment(), **about}, "rows": rows}


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """`device`, `512x512.bf16.seconds` and the like, `table`."""
    made: dict[str, Value | str] = {"device": result["protocol"]["device"]}
    lines = []
    for row in result["rows"]:
        key = f"{row['width']}x{row['height']}"
        made[f"{key}.{row['dtype']}.seconds"] = Value([row["seconds"]], 3)
        made[f"{key}.{row['dtype']}.peak"] = Value([row["peak_bytes"] / 2**20], 0)
        lines.append(
            [
                f"{key}, {row['dtype']}",
                f"{row['seconds']:.3f}",
                f"{row['network_seconds']:.3f}",
                f"{row['peak_bytes'] / 2**20:.0f}",
            ]
        )
    made["table"] = table(("photograph, arithmetic", "seconds", "in the network", "peak, MiB"), lines)
    return made


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--model", default="general", help="name on the shelf, model file or run folder")
    command.add_argument("--repeats", type=positive, default=5, help="runs of which the median counts (default 5)")


def main(arguments: Namespace) -> None:
    result = measure(arguments.model, arguments.repeats, arguments.quick)
    print(facts(result)["table"])
    write_json(arguments.json, result)
