"""Requests a second and latencies of the server, beside the same restorations in-process.

    python -m benchmarks load --json benchmarks/results/load.json

The server runs in a process of its own with one worker; 1, 4 and 16 clients send 256 x 256 photographs to POST /v1/restore, each the next
one when it has its answer. In-process the same files are read, restored and written one after another in one thread. The overhead is
what the server's process takes for a restoration beyond that: in processor seconds, which other work on the machine does not change, and
in wall seconds for one client, which it does. What decides is the first where the machine is busy.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from argparse import ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks._shared import Clock, environment, positive, table, write_json

SIDE = 256
CLIENTS = (1, 4, 16)
BOUNDARY = "a-boundary-that-is-in-no-file"


def photographs(count: int) -> list[bytes]:
    """JPEGs of smooth colours with noise; speed hardly depends on content."""
    import numpy as np
    from PIL import Image

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
    from unveil import photo
    from unveil.restorer import load

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


class Server:
    """The server in a process of its own, with its processor time. Linux."""

    def __init__(self, threads: int) -> None:
        options = ["web", "--port", "0", "--device", "cpu", "--waiting", "64", "--per-client", "64", "--no-page"]
        run = f"import torch; torch.set_num_threads({threads}); from unveil.cli import main; main({options!r})"
        environ = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen([sys.executable, "-c", run], stdout=subprocess.PIPE, text=True, env=environ)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[3]

    @property
    def processor(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def restore(self, model: str, data: bytes) -> float:
        """Seconds that an answer took."""
        parts = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'.encode()
            + data
            + b"\r\n",
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n--{BOUNDARY}--\r\n'.encode(),
        )
        head = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        started = time.perf_counter()
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.address}/v1/restore", b"".join(parts), head)
        ) as answer:
            answer.read()
        return time.perf_counter() - started

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def load_test(server: Server, model: str, files: list[bytes], clients: int) -> dict[str, float]:
    """`clients` at once, each with its share of `files`."""
    shares = [files[k::clients] for k in range(clients)]
    start = threading.Barrier(clients + 1)

    def client(share: list[bytes]) -> list[float]:
        start.wait()
        return [server.restore(model, data) for data in share]

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client, share) for share in shares]
        start.wait()
        used, began = server.processor, time.perf_counter()
        latencies = sorted(second for future in running for second in future.result())
        wall, used = time.perf_counter() - began, server.processor - used
    return {
        "clients": clients,
        "requests": len(files),
        "requests_per_second": len(files) / wall,
        "processor_seconds": used / len(files),
        **{f"p{p}": latencies[min(len(latencies) - 1, round(p / 100 * (len(latencies) - 1)))] for p in (50, 90, 99)},
    }


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--model", default="general")
    command.add_argument(
        "--requests", type=positive, default=48, help="requests for each number of clients (default 48)"
    )


def main(arguments: Namespace) -> None:
    files = photographs(16 if arguments.quick else arguments.requests)
    server = Server(arguments.threads)
    try:
        server.restore(arguments.model, files[0])
        rows = []
        # In turns, so that a machine that gets busier or idler meanwhile does so for both.
        alone = [in_process(arguments.model, files)]
        for clients in CLIENTS:
            rows.append(load_test(server, arguments.model, files, clients))
            alone.append(in_process(arguments.model, files))
    finally:
        server.close()
    base = {key: sum(run[key] for run in alone) / len(alone) for key in alone[0]}
    for row in rows:
        row["overhead"] = row["processor_seconds"] / base["processor_seconds"] - 1
    result = {
        "benchmark": "load",
        "protocol": {
            **environment(),
            "quick": arguments.quick,
            "model": arguments.model,
            "size": SIDE,
            "requests": len(files),
            "overhead": "processor seconds of the server's process a request, against reading, restoring and writing in-process, - 1",
            "load_average": list(os.getloadavg()),
        },
        "in_process": base,
        "rows": rows,
    }
    body = [
        [
            str(r["clients"]),
            f"{r['requests_per_second']:.2f}",
            *(f"{r[f'p{p}']:.2f}" for p in (50, 90, 99)),
            f"{r['processor_seconds']:.3f}",
            f"{100 * r['overhead']:+.1f} %",
        ]
        for r in rows
    ]
    print(table(["clients", "requests/s", "p50 s", "p90 s", "p99 s", "CPU s/request", "overhead"], body))
    print(f"in-process: {base['seconds']:.3f} s wall, {base['processor_seconds']:.3f} s of processor a photograph")
    write_json(arguments.json, json.loads(json.dumps(result)))
