"""Peak memory of the U-Nets of DA-CLIP and wild-IR against what attention with its pixels-by-pixels matrix would take.

    python -m benchmarks attention_memory --json benchmarks/results/attention_memory.json

The published code runs out of memory at 1024 x 1024. Every row is measured in a process of its own. "full matrix" rows
force the kernel that holds the matrix, as long as it fits the limit; beyond, its formula speaks alone.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from benchmarks._pages import Value
from benchmarks._shared import (
    Clock,
    alone,
    environment,
    memory_status,
    positive,
    positive_number,
    table,
    use_threads,
    write_json,
)

NETWORKS = {"daclip_unet": 8, "wild_unet": 16}
"""By how much each has reduced height and width where its transformers work."""
HEAD = 32
SIZES = (256, 512, 1024, 2048)


def matrix_bytes(side: int, reduction: int, width: int) -> int:
    """One attention matrix of all heads in fp32: 4 (width / 32) N^2 for N = (side / reduction)^2 tokens."""
    return 4 * (width // HEAD) * (side // reduction) ** 4


def single(name: str, side: int, full: bool, threads: int, width: int) -> dict[str, Any]:
    """One evaluation of one photograph, and what it took beyond the weights."""
    import contextlib

    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from unveil.networks.conditional_unet import ConditionalUNet, daclip_unet, wild_unet

    use_threads(threads)
    net: ConditionalUNet = {"daclip_unet": daclip_unet, "wild_unet": wild_unet}[name]()
    if width < 64:  # the smoke test's
        net = ConditionalUNet(
            width, (1, 2), context_dim=8, half_size=name == "wild_unet", degradation=name != "wild_unet"
        )
    x = torch.rand(1, 3, side, side)
    context = [torch.zeros(1, net.context_dim or 0)] * (1 + net.degradation)
    Path("/proc/self/clear_refs").write_text("5")  # so that building the network does not count
    before = memory_status("VmRSS")
    kernel = sdpa_kernel(SDPBackend.MATH) if full else contextlib.nullcontext()
    clock = Clock()
    with torch.inference_mode(), kernel:
        net.eval()(x, x, torch.ones(1), *context)
    return {"peak_bytes": memory_status("VmHWM") - before, "processor_seconds": clock.processor}


def measured(name: str, side: int, full: bool, threads: int, width: int) -> dict[str, Any]:
    """`single` in a process of its own."""
    return alone("attention_memory", "--single", json.dumps([name, side, full, threads, width]))


def extrapolated(known: list[tuple[int, int]], side: int) -> float:
    """Bytes for a photograph of this side from the last two smaller ones: a fixed part, and one that grows with the area."""
    if len(known) < 2:
        return 0.0
    (small, low), (large, high) = known[-2:]
    slope = (high - low) / (large**2 - small**2)
    return high + slope * (side**2 - large**2)


COLUMNS = (
    "network, photograph", "tokens", "peak (MiB)", "with the full matrix (MiB)", "one such matrix (MiB)", "CPU time (s)",
)  # fmt: skip


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """MiB by network and side, and the table."""
    out: dict[str, Value | str] = {"table": table(COLUMNS, [shown(row) for row in result["rows"]])}
    for row in result["rows"]:
        for key in ("peak_bytes", "matrix_bytes", "full_matrix_peak_bytes"):
            if key in row:
                out[f"{row['network']}.{row['side']}.{key}"] = Value([row[key] / 2**20], 0)
    return out


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--single", help="(internal) one row")
    command.add_argument(
        "--limit", type=positive_number, default=4.0, help="leave out what is expected to take more GiB"
    )
    command.add_argument("--sizes", type=positive, nargs="+", default=list(SIZES), help="sides of the photographs")


def main(given: Namespace) -> None:
    if given.single:
        print(json.dumps(single(*json.loads(given.single))))
        return
    limit = given.limit * 2**30
    sizes, width = ([32, 64], 32) if given.quick else (given.sizes, 64)
    rows = []
    for name, reduction in NETWORKS.items():
        known: list[tuple[int, int]] = []
        for side in sizes:
            formula = matrix_bytes(side, reduction, 8 * width)
            row: dict[str, Any] = {
                "network": name,
                "side": side,
                "tokens": (side // reduction) ** 2,
                "matrix_bytes": formula,
            }
            expected = extrapolated(known, side)
            if expected < limit:
                row |= measured(name, side, False, given.threads, width)
                known.append((side, row["peak_bytes"]))
                # The softmax makes a second matrix of the first.
                if row["peak_bytes"] + 2 * formula < limit:
                    row["full_matrix_peak_bytes"] = measured(name, side, True, given.threads, width)["peak_bytes"]
            else:
                row["expected_bytes"] = expected
            rows.append(row)
            print("; ".join(shown(row)), file=sys.stderr, flush=True)
    print(table(COLUMNS, [shown(row) for row in rows]))
    about = {"dtype": "fp32", "batch": 1, "limit_gib": given.limit, "peak": "resident, beyond weights and input"}
    write_json(given.json, {"protocol": {**environment(), **about}, "rows": rows})


def shown(row: dict[str, Any]) -> list[str]:
    def mib(key: str) -> str:
        return f"{row[key] / 2**20:,.0f}" if key in row else ""

    peak = mib("peak_bytes") or f"over the limit ({mib('expected_bytes')} expected)"
    seconds = f"{row['processor_seconds']:.1f}" if "processor_seconds" in row else ""
    name = f"{row['network']}, {row['side']} x {row['side']}"
    return [name, f"{row['tokens']:,}", peak, mib("full_matrix_peak_bytes"), mib("matrix_bytes"), seconds]
