"""Requests a second and latencies of the server, beside the same restorations in-process.

    python -m benchmarks load --json benchmarks/results/load.json

The server runs in a process of its own with one worker; 1, 4 and 16 clients send 256 x 256 photographs to POST /v1/restore, each the next
one when it has its answer. In-process the same files are read, restored and written one after another in one thread. The overhead is
what the server's process takes for a restoration beyond that: in processor seconds, which other work on the machine does not change, and
in wall seconds for one client, which it does. What decides is the first where the machine is busy.
"""

from __future__ import annotations

import io
import os
import threading
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._server import Server
from benchmarks._shared import MODEL, Clock, protocol, table
from unveil import photo
from unveil.restorer import load

SIDE = 256
CLIENTS = (1, 4, 16)
SERVER = ("--waiting", "64", "--per-client", "64", "--no-page")


def photographs(count: int) -> list[bytes]:
    """JPEGs of smooth colours with noise; speed hardly depends on content."""
    files = []
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    for seed in range(count):
        noise = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE, 3))
        pixels = 127 + 100 * np.stack([np.sin(5 * x + seed), np.cos(4 * y), np.sin(3 * (x + y))], axis=-1) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out := io.BytesIO(), "JPEG", quality=90)
        files.append(out.getvalue())
    return files


def in_process(model: str, files: list[bytes]) -> dict[str, float]:
    """Wall and processor seconds a photograph, read and written as the server does, after one that warms up."""
    restorer = load(model, "cpu")

    def one(data: bytes) -> bytes:
        result = restorer.restore(data)
        assert result.source is not None
        photo.write(result.source, result.image, out := io.BytesIO())
        return out.getvalue()

    one(files[0])
    clock = Clock()
    for data in files:
        one(data)
    return {"seconds": clock.wall / len(files), "processor_seconds": clock.processor / len(files)}


def answered(server: Server, model: str, data: bytes) -> float:
    """Seconds that an answer took."""
    clock = Clock()
    server.client.post("/v1/restore", files={"photo": ("a.jpg", data)}, data={"model": model}).raise_for_status()
    return clock.wall


def load_test(server: Server, model: str, files: list[bytes], clients: int) -> dict[str, float]:
    """`clients` at once, each with its share of `files`."""
    start = threading.Barrier(clients + 1)

    def client(share: list[bytes]) -> list[float]:
        start.wait()
        return [answered(server, model, data) for data in share]

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, files[k::clients]) for k in range(clients)]
        start.wait()
        used, clock = server.processor, Clock()
        latencies = sorted(second for future in running for second in future.result())
        wall, used = clock.wall, server.processor - used
    return {
        "clients": clients,
        "requests": len(files),
        "requests_per_second": len(files) / wall,
        "processor_seconds": used / len(files),
        **{f"p{p}": latencies[min(len(latencies) - 1, round(p / 100 * (len(latencies) - 1)))] for p in (50, 90, 99)},
    }


def measure(given: Namespace) -> dict[str, Any]:
    files = photographs(16 if given.quick else given.requests)
    server = Server(SERVER, {"OMP_NUM_THREADS": str(given.threads)})
    try:
        answered(server, given.model, files[0])
        rows = []
        # In turns, so that a machine that gets busier or idler meanwhile does so for both.
        alone = [in_process(given.model, files)]
        for clients in CLIENTS:
            rows.append(load_test(server, given.model, files, clients))
            alone.append(in_process(given.model, files))
    finally:
        server.stop()
    base = {key: sum(run[key] for run in alone) / len(alone) for key in alone[0]}
    for row in rows:
        row["overhead"] = row["processor_seconds"] / base["processor_seconds"] - 1
    about = {
        "model": given.model, "size": SIDE, "requests": len(files), "load_average": list(os.getloadavg()),
        "overhead": "processor seconds of the server's process a request, against reading, restoring and writing in-process, - 1",
    }  # fmt: skip
    return {"protocol": protocol(given, **about), "in_process": base, "rows": rows}


def show(result: dict[str, Any]) -> str:
    base = result["in_process"]
    body = []
    for r in result["rows"]:
        numbers = (f"{r[key]:.2f}" for key in ("requests_per_second", "p50", "p90", "p99"))
        body.append([str(r["clients"]), *numbers, f"{r['processor_seconds']:.3f}", f"{100 * r['overhead']:+.1f} %"])
    alone = f"{base['seconds']:.3f} s wall, {base['processor_seconds']:.3f} s of processor a photograph"
    head = ["clients", "requests/s", "p50 s", "p90 s", "p99 s", "CPU s/request", "overhead"]
    return f"{table(head, body)}\nin-process: {alone}"


OPTIONS = {"--model": MODEL, "--requests": (48, "requests for each number of clients")}
