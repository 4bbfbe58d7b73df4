"""Peak memory of the U-Nets of DA-CLIP and wild-IR against what attention with its pixels-by-pixels matrix would take.

    python -m benchmarks attention_memory --json benchmarks/results/attention_memory.json

The published code runs out of memory at 1024 x 1024. Every row is measured in a process of its own. "full matrix" rows
force the kernel that holds the matrix, as long as it fits the limit; beyond, its formula speaks alone.
"""

from __future__ import annotations

import contextlib
from argparse import Namespace
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks._pages import Facts
from benchmarks._shared import alone, peak, protocol, table
from unveil.networks.conditional_unet import ConditionalUNet, daclip_unet, wild_unet

NETWORKS = {"daclip_unet": 8, "wild_unet": 16}
"""By how much each has reduced height and width where its transformers work."""
HEAD = 32
SIZES = (256, 512, 1024, 2048)
COLUMNS = (
    "network, photograph", "tokens", "peak (MiB)", "with the full matrix (MiB)", "one such matrix (MiB)", "CPU time (s)",
)  # fmt: skip


def matrix_bytes(side: int, reduction: int, width: int) -> int:
    """One attention matrix of all heads in fp32: 4 (width / 32) N^2 for N = (side / reduction)^2 tokens."""
    return 4 * (width // HEAD) * (side // reduction) ** 4


def single(name: str, side: int, full: bool, width: int) -> dict[str, Any]:
    """One evaluation of one photograph, and what it took beyond the weights."""
    net: ConditionalUNet = {"daclip_unet": daclip_unet, "wild_unet": wild_unet}[name]().eval()
    if width < 64:  # the smoke test's
        wild = name == "wild_unet"
        net = ConditionalUNet(width, (1, 2), context_dim=8, half_size=wild, degradation=not wild).eval()
    x = torch.rand(1, 3, side, side)
    context = [torch.zeros(1, net.context_dim or 0)] * (1 + net.degradation)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH) if full else contextlib.nullcontext():
        return peak(lambda: net(x, x, torch.ones(1), *context))


def extrapolated(known: list[tuple[int, int]], side: int) -> float:
    """Bytes for a photograph of this side from the last two smaller ones: a fixed part, and one that grows with the area."""
    if len(known) < 2:
        return 0.0
    (small, low), (large, high) = known[-2:]
    slope = (high - low) / (large**2 - small**2)
    return high + slope * (side**2 - large**2)


def measure(given: Namespace) -> dict[str, Any]:
    limit = given.limit * 2**30
    sizes, width = ([32, 64], 32) if given.quick else (given.sizes, 64)
    rows = []
    for name, reduction in NETWORKS.items():
        known: list[tuple[int, int]] = []
        for side in sizes:
            formula = matrix_bytes(side, reduction, 8 * width)
            row: dict[str, Any] = {"network": name, "side": side, "tokens": (side // reduction) ** 2}
            row["matrix_bytes"] = formula
            expected = extrapolated(known, side)
            if expected < limit:
                row |= alone("attention_memory", given.threads, name, side, False, width)
                known.append((side, row["peak_bytes"]))
                # The softmax makes a second matrix of the first.
                if row["peak_bytes"] + 2 * formula < limit:
                    full = alone("attention_memory", given.threads, name, side, True, width)
                    row["full_matrix_peak_bytes"] = full["peak_bytes"]
            else:
                row["expected_bytes"] = expected
            rows.append(row)
    about = {"dtype": "fp32", "batch": 1, "limit_gib": given.limit, "peak": "resident, beyond weights and input"}
    return {"protocol": protocol(given, **about), "rows": rows}


def facts(result: dict[str, Any]) -> Facts:
    """The table."""
    return Facts(table=table(COLUMNS, [shown(row) for row in result["rows"]]))


def shown(row: dict[str, Any]) -> list[str]:
    def mib(key: str) -> str:
        return f"{row[key] / 2**20:,.0f}" if key in row else ""

    most = mib("peak_bytes") or f"over the limit ({mib('expected_bytes')} expected)"
    seconds = f"{row['processor_seconds']:.1f}" if "processor_seconds" in row else ""
    name = f"{row['network']}, {row['side']} x {row['side']}"
    return [name, f"{row['tokens']:,}", most, mib("full_matrix_peak_bytes"), mib("matrix_bytes"), seconds]


OPTIONS = {
    "--limit": (4.0, "leave out what is expected to take more GiB"),
    "--sizes": (SIZES, "sides of the photographs"),
}
