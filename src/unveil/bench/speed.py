"""Seconds and peak memory of one restoration: in all, inside the network, and against a single pass of the network.

Every row is measured in a process of its own (`python -m unveil.bench.speed`), so that its peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from unveil.bench.record import Clock, environment, peak_bytes, table
from unveil.errors import UnveilError

ROWS = (("coarse_to_fine", "fp32"), ("off", "fp32"), ("coarse_to_fine", "bf16"), ("off", "bf16"))


def single(
    model: str,
    resolution: str,
    dtype: str,
    size: int,
    steps: int | None,
    repeats: int,
    threads: int,
    device: str = "cpu",
) -> dict[str, Any]:
    """One row, here: the run with the median total of `repeats`, after one that warms up."""
    import numpy as np
    import torch

    from unveil.options import Options
    from unveil.restorer import load
    from unveil.util.devices import hardware

    torch.set_num_threads(threads)
    loaded = peak_bytes()
    restorer = load(model, device, dtype)
    cuda = restorer.device.type == "cuda"
    photo = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    # All that it fixes, so that no evaluation is spared by what the describer finds in this content.
    told: dict[str, Any] = {"fix": "all"} if restorer.model.spec.conditioned else {}
    runs, protocol = [], {}
    for seed in range(repeats + 1):
        clock = Clock()
        out = restorer.restore(photo, seed=seed, steps=steps, resolution=resolution, **told)
        protocol = out.protocol
        runs.append(
            {"seconds": out.seconds, "network_seconds": out.network_seconds, "processor_seconds": clock.processor}
        )
    peak = peak_bytes()
    on_device = {"device_peak_bytes": torch.cuda.max_memory_allocated(restorer.device)} if cuda else {}
    state = torch.zeros(1, 3, size, size, device=restorer.device)
    run = restorer.resolve(Options(steps=steps))
    denoise = restorer.model.denoiser(run.process, 0.0, 1)
    forwards = []
    with torch.inference_mode(), torch.autocast(restorer.device.type, torch.bfloat16, enabled=dtype == "bf16"):
        for _ in range(repeats + 1):
            clock = Clock()
            denoise(state, state, run.process.steps).cpu()  # a device has computed it when it can be read
            forwards.append(clock.wall)
    return {
        "resolution": resolution,
        "dtype": dtype,
        **sorted(runs[1:], key=lambda r: r["seconds"])[repeats // 2],
        "forward_seconds": sorted(forwards[1:])[repeats // 2],
        "peak_bytes": peak,
        **on_device,
        "bytes_after_imports": loaded,
        "hardware": hardware(restorer.device),
        "protocol_of_run": {k: protocol[k] for k in ("model", "sha256", "grid", "steps", "solver", "fidelity")},
    }


def apart(module: str, *arguments: object) -> dict[str, Any]:
    """What `python -m module ARGUMENTS` prints as JSON in its last line. Raises UnveilError with its last word where it fails."""
    call = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnveilError((done.stderr.strip().splitlines() or ["the measuring process was ended"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def measure(
    model: str = "general",
    *,
    size: int = 512,
    steps: int | None = 5,
    repeats: int = 3,
    threads: int = 1,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Every resolution and precision of `ROWS` on a square photograph of `size` pixels, on a device (`util.devices`)."""
    from unveil.util.devices import pick_device  # late: it loads torch, which reads its settings then

    device = str(pick_device(device))
    rows = []
    for resolution, dtype in ROWS:
        rows.append(apart(__name__, json.dumps([model, resolution, dtype, size, steps, repeats, threads, device])))
        if progress is not None:
            progress(len(rows), len(ROWS))
    runs = [row.pop("protocol_of_run") for row in rows]
    computes, on_cuda = [row.pop("hardware") for row in rows], "device_peak_bytes" in rows[0]
    return {
        "benchmark": "speed",
        "protocol": {
            **environment(),
            **runs[0],
            "size": size,
            "samples": 1,
            "threads": threads,
            "device": f"{device}: {computes[0]}",
            "repeats": f"median of {repeats} runs after one warm-up, wall seconds, each row in its own process",
            "forward": "one pass of the predictor (with its padding) at the same size",
            "peak_bytes": "peak resident memory of the process: interpreter, torch, weights and restoration",
            **({"device_peak_bytes": "most that torch had allocated on the device"} if on_cuda else {}),
        },
        "rows": rows,
    }


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """What a row says: seconds, seconds in the network, % outside it, seconds of one pass, total in passes, peak MiB of the
    process and, of a row measured on a CUDA device, of that.
    """
    told = {"device_peak": row["device_peak_bytes"] / 2**20} if "device_peak_bytes" in row else {}
    return {
        "seconds": row["seconds"],
        "network": row["network_seconds"],
        "outside": 100 * (1 - row["network_seconds"] / row["seconds"]),
        "forward": row["forward_seconds"],
        "passes": row["seconds"] / row["forward_seconds"],
        "peak": row["peak_bytes"] / 2**20,
        **told,
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
    size, steps = result["protocol"]["size"], result["protocol"]["steps"]
    head = [f"{size}x{size}, {steps} steps", "seconds", "in the network", "outside (%)", "one pass (s)"]
    body = []
    for row in result["rows"]:
        said = numbers(row)
        cells = [f"{v:.0f}" if k.endswith("peak") else f"{v:.2f}" for k, v in said.items()]
        body.append([f"{row['resolution'].replace('_', ' ')}, {row['dtype']}", *cells])
    peaks = ["peak memory (MiB)", *(["of the device (MiB)"] if "device_peak_bytes" in result["rows"][0] else [])]
    return table([*head, "total in passes", *peaks], body)


if __name__ == "__main__":
    print(json.dumps(single(*json.loads(sys.argv[1]))))
