"""`python -m benchmarks soak --minutes 30`: a server under mixed clients, watched for what leaks, breaks or changes.

Clients send photographs, restore, queue and cancel, leave in the middle, and send garbage, so many that the worker is never idle. At the
end: no answer was a 500, every finished restoration of one photograph and seed had the same bytes, the server's memory was as at the
beginning within 5 % (after a warm-up of a fifth of the time), it stopped within ten seconds, and nothing was left in its temporary
folder. Prints one line of JSON; exit status 1 where any of this is not so. Linux.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import socket
import tempfile
import threading
import time
from argparse import Namespace
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks._server import Server
from benchmarks._shared import memory_status

PHOTOGRAPHS = 4
SEEDS = 2
GARBAGE = (b"", b"{", b"[" * 3000, b"\0" * 500, b'{"photo": 1}', b'{"photo": "AAAA"}', b"--b\r\n", b"x" * 20_000)


class Soak:
    """What the clients share. results: photograph and seed -> digests of what came back."""

    def __init__(self, client: httpx.Client, seconds: float) -> None:
        self.http = client
        self.end = time.monotonic() + seconds
        self.photographs = [_photograph(n) for n in range(PHOTOGRAPHS)]
        self.statuses: Counter[str] = Counter()
        self.results: dict[tuple[int, int], set[str]] = {}
        self.lock = threading.Lock()

    def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """One request and its answer, counted."""
        answer = self.http.request(method, path, **sent)
        with self.lock:
            self.statuses[f"{method} {answer.status_code}"] += 1
        return answer

    def order(self, draw: random.Random) -> tuple[tuple[int, int], dict[str, Any]]:
        """A photograph and a seed, and what asks for them."""
        which = (draw.randrange(PHOTOGRAPHS), draw.randrange(SEEDS))
        photo = b64encode(self.photographs[which[0]]).decode()
        return which, {"photo": photo, "name": "a.png", "seed": which[1], "steps": 2}

    def took(self, which: tuple[int, int], answer: httpx.Response) -> None:
        """Note a finished restoration."""
        if answer.status_code == 200:
            with self.lock:
                self.results.setdefault(which, set()).add(hashlib.sha256(answer.content).hexdigest())

    def restore(self, draw: random.Random) -> None:
        """Send and wait."""
        which, body = self.order(draw)
        self.took(which, self.ask("POST", "/v1/restore", json=body))

    def job(self, draw: random.Random) -> None:
        """Queue, then follow to the end, or cancel, or forget."""
        which, body = self.order(draw)
        answer = self.ask("POST", "/v1/jobs", json=body)
        if answer.status_code != 202:
            return
        here, fate = f"/v1/jobs/{answer.json()['id']}", draw.random()
        if fate < 0.5:
            self.ask("GET", f"{here}/events")
            self.took(which, self.ask("GET", f"{here}/result"))
        if fate < 0.9:
            self.ask("DELETE", here)

    def upload(self, draw: random.Random) -> None:
        """A photograph for the page, and a look at it."""
        answer = self.ask("POST", "/page/photos", files={"photo": ("a.png", self.photographs[0])})
        if answer.status_code == 200:
            self.ask("GET", answer.json()["view"])

    def leave(self, draw: random.Random) -> None:
        """Go away in the middle of sending, or of waiting."""
        body, there = json.dumps(self.order(draw)[1]).encode(), self.http.base_url
        sent = body if draw.random() < 0.5 else body[: draw.randrange(len(body))]
        head = f"POST /v1/restore HTTP/1.1\r\nHost: {there.host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((there.host, there.port or 80), timeout=60) as connection:
            connection.sendall(head.encode() + sent)
            time.sleep(draw.uniform(0, 0.3))

    def garbage(self, draw: random.Random) -> None:
        """What nobody would send."""
        path = draw.choice(("/v1/restore", "/v1/jobs", "/page/photos", "/gradio_api/queue/join", "/nowhere"))
        kind = draw.choice(("application/json", "multipart/form-data; boundary=b", "text/plain"))
        self.ask("POST", path, content=draw.choice(GARBAGE), headers={"Content-Type": kind})

    def client(self, number: int) -> None:
        """One client until the end."""
        draw = random.Random(number)
        kinds: list[Callable[[random.Random], None]] = [self.restore, self.job, self.upload, self.leave, self.garbage]
        while time.monotonic() < self.end:
            with contextlib.suppress(ConnectionError, TimeoutError, httpx.TransportError):
                draw.choices(kinds, (4, 4, 1, 2, 2))[0](draw)


def _photograph(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def soak(minutes: float, clients: int) -> dict[str, Any]:
    """Run everything; returns what came of it."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        with tempfile.TemporaryFile() as log:
            server = Server(["--keep", "20", "--per-client", "16"], {"TMPDIR": folder, "OMP_NUM_THREADS": "1"}, log)
            run, began = Soak(server.client, 60 * minutes), time.monotonic()
            threads = [threading.Thread(target=run.client, args=(n,), daemon=True) for n in range(clients)]
            for thread in threads:
                thread.start()
            weights: list[tuple[float, int]] = []
            while time.monotonic() < run.end:
                time.sleep(min(5.0, 6 * minutes))
                weights.append((time.monotonic() - began, memory_status("VmRSS", server.process.pid)))
            for thread in threads:
                thread.join(120)
            stopping = time.monotonic()
            code = server.stop()
            stopped = time.monotonic() - stopping
            log.seek(0)
            faults = [line for line in log.read().decode(errors="replace").splitlines() if "Traceback" in line]
        left = sorted(path.name for path in Path(folder).iterdir())
    settled = [size for at, size in weights if at > 12 * minutes]
    quarter = max(1, len(settled) // 4)
    first, last = (float(np.mean(part)) for part in (settled[:quarter], settled[-quarter:]))
    return {
        "minutes": minutes, "clients": clients, "answers": dict(sorted(run.statuses.items())),
        "restored": {f"{photo}/{seed}": len(digests) for (photo, seed), digests in sorted(run.results.items())},
        "MiB": [round(first / 2**20, 1), round(last / 2**20, 1)], "growth": round(last / first - 1, 4),
        "stopped_s": round(stopped, 2), "exit": code, "left": left, "tracebacks": len(faults),
    }  # fmt: skip


def wrong(found: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    wanted = {
        "an answer was a 500": not any(status.endswith(" 500") for status in found["answers"]),
        "results differ, or there are none": found["restored"] and all(n == 1 for n in found["restored"].values()),
        "memory grew": found["growth"] <= 0.05,
        "it did not stop in ten seconds": found["stopped_s"] <= 10,
        "something was left in the temporary folder": not found["left"],
        "the log has tracebacks": not found["tracebacks"],
    }
    return [fault for fault, holds in wanted.items() if not holds]


OPTIONS = {"--minutes": 30.0, "--clients": 12}


def main(given: Namespace) -> int:
    found = soak(given.minutes, given.clients)
    found["wrong"] = wrong(found)
    print(json.dumps(found))
    return 1 if found["wrong"] else 0
