"""Counters of a running server as Prometheus reads them (text exposition format 0.0.4)."""

from __future__ import annotations

import threading
from collections import Counter

from unveil.web.queue import Task

BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Metrics:
    """Requests by route and status; jobs by how they ended; seconds that restorations took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._jobs: Counter[str] = Counter()
        self._seconds: Counter[float] = Counter()
        self._total = 0.0

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answer. route: the template of the path, since ids would make a row each."""
        with self._lock:
            self._requests[method, route, status] += 1

    def job(self, task: Task) -> None:
        """Count a task that has ended."""
        status = task.status
        with self._lock:
            self._jobs[status.state] += 1
            if status.state == "done":
                self._total += status.seconds
                self._seconds.update([next((b for b in BUCKETS if status.seconds <= b), float("inf"))])

    def text(self, waiting: int, running: int, guesses: int = 0, receiving: int = 0) -> str:
        """Everything so far. waiting, running: tasks at this moment; guesses: wrong tokens; receiving: bytes of bodies coming in."""
        with self._lock:
            rows = ["# HELP unveil_requests_total Answers given.", "# TYPE unveil_requests_total counter"]
            rows += [
                f'unveil_requests_total{{method="{m}",route="{r}",status="{s}"}} {n}'
                for (m, r, s), n in sorted(self._requests.items())
            ]
            rows += ["# HELP unveil_jobs_total Restorations by how they ended.", "# TYPE unveil_jobs_total counter"]
            rows += [f'unveil_jobs_total{{state="{state}"}} {n}' for state, n in sorted(self._jobs.items())]
            rows += ["# HELP unveil_jobs Restorations at this moment.", "# TYPE unveil_jobs gauge"]
            rows += [f'unveil_jobs{{state="waiting"}} {waiting}', f'unveil_jobs{{state="running"}} {running}']
            rows += [
                "# HELP unveil_wrong_tokens_total Tokens that were shown and wrong.",
                "# TYPE unveil_wrong_tokens_total counter",
                f"unveil_wrong_tokens_total {guesses}",
                "# HELP unveil_receiving_bytes Bytes of requests that are coming in.",
                "# TYPE unveil_receiving_bytes gauge",
                f"unveil_receiving_bytes {receiving}",
            ]
            rows += [
                "# HELP unveil_restore_seconds Wall seconds of restorations.",
                "# TYPE unveil_restore_seconds histogram",
            ]
            count = 0
            for bound in (*BUCKETS, float("inf")):
                count += self._seconds[bound]
                rows.append(
                    f'unveil_restore_seconds_bucket{{le="{"+Inf" if bound == float("inf") else bound}"}} {count}'
                )
            rows += [f"unveil_restore_seconds_sum {self._total:.6f}", f"unveil_restore_seconds_count {count}"]
        return "\n".join(rows) + "\n"
