"""Seconds and memory of a restoration on a GPU, by size and arithmetic.

    python -m benchmarks gpu --model general --json benchmarks/results/gpu.json

The photograph begins and ends in the computer's memory: copying it there and back is counted. Median of `--repeats` runs after one that
warms up, a new seed each.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
import torch

import unveil
from benchmarks._pages import Facts
from benchmarks._shared import MODEL, protocol, table

SIZES = ((512, 512), (2048, 2048), (3000, 4000))
DTYPES = ("fp32", "bf16")


def once(restorer: Any, shape: tuple[int, int], repeats: int) -> dict[str, Any]:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)  # content does not matter
    torch.cuda.reset_peak_memory_stats()
    runs = [restorer.restore(photo, seed=seed) for seed in range(repeats + 1)][1:]
    middle = sorted(runs, key=lambda out: out.seconds)[repeats // 2]
    return {
        "height": shape[0], "width": shape[1], "dtype": middle.protocol["dtype"], "seconds": middle.seconds,
        "network_seconds": middle.network_seconds, "peak_bytes": torch.cuda.max_memory_allocated(),
    }  # fmt: skip


def measure(given: Namespace) -> dict[str, Any]:
    if not torch.cuda.is_available():
        raise SystemExit("benchmark: there is no GPU here; this measures one")
    rows = []
    for dtype in DTYPES:
        restorer = unveil.load(given.model, device="cuda", dtype=dtype)
        rows += [once(restorer, shape, given.repeats) for shape in (SIZES[:1] if given.quick else SIZES)]
    about = {"sha256": restorer.model.sha256, "device": torch.cuda.get_device_name(0), "repeats": given.repeats}
    return {"protocol": protocol(given, model=given.model, **about), "rows": rows}


def facts(result: dict[str, Any]) -> Facts:
    """`device`, `512x512.bf16.seconds` and the like, `table`."""
    made = Facts(device=result["protocol"]["device"])
    lines = []
    for row in result["rows"]:
        key, dtype = f"{row['width']}x{row['height']}", row["dtype"]
        seconds = made.put(f"{key}.{dtype}.seconds", row["seconds"], 3)
        peak = made.put(f"{key}.{dtype}.peak", row["peak_bytes"], 0, 2**-20)
        lines.append([f"{key}, {dtype}", seconds, f"{row['network_seconds']:.3f}", peak])
    made["table"] = table(("photograph, arithmetic", "seconds", "in the network", "peak, MiB"), lines)
    return made


OPTIONS = {"--model": MODEL, "--repeats": (5, "runs of which the median counts")}
