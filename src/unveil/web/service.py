"""What the page and the HTTP interface share: photographs that were sent, jobs, and the limits they obey."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from unveil.degradation.registry import simulator
from unveil.errors import InputError
from unveil.options import check_seed
from unveil.photo.header import probe, sniff
from unveil.util.devices import pick_device
from unveil.util.words import pixels
from unveil.web.engines import Restorers, engines
from unveil.web.middleware import Pixels
from unveil.web.queue import Caller, Queue, Task
from unveil.web.settings import ServerSettings
from unveil.web.store import Store
from unveil.web.work import UPLOAD, Delivery, Order, check_format, degrading, image_of, read, restoring, save_view

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
            answers = {
                f'{{method="{m}",route="{r}",status="{s}"}}': n for (m, r, s), n in sorted(self._requests.items())
            }
            ended = {f'{{state="{state}"}}': n for state, n in sorted(self._jobs.items())}
            total, under = self._total, list(accumulate(self._seconds[bound] for bound in (*BUCKETS, float("inf"))))
        bounds = (*map(str, BUCKETS), "+Inf")
        seconds = {f'_bucket{{le="{bound}"}}': count for bound, count in zip(bounds, under, strict=True)}
        found: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
            ("requests_total", "Answers given.", "counter", answers),
            ("jobs_total", "Restorations by how they ended.", "counter", ended),
            ("jobs", "Restorations at this moment.", "gauge", {'{state="waiting"}': waiting, '{state="running"}': running}),
            ("wrong_tokens_total", "Tokens that were shown and wrong.", "counter", {"": guesses}),
            ("receiving_bytes", "Bytes of requests that are coming in.", "gauge", {"": receiving}),
            (
                "restore_seconds", "Wall seconds of restorations.", "histogram",
                {**seconds, "_sum": f"{total:.6f}", "_count": under[-1]},
            ),
        )  # fmt: skip
        rows: list[str] = []
        for name, told, kind, values in found:
            rows += [f"# HELP unveil_{name} {told}", f"# TYPE unveil_{name} {kind}"]
            rows += [f"unveil_{name}{label} {value}" for label, value in values.items()]
        return "\n".join(rows) + "\n"


THUMBNAIL = 320
LONGEST_NAME = 120


class TooLarge(InputError):
    """More bytes or pixels than are taken here."""


class NotAPhoto(InputError):
    """No kind of file that can be restored."""


@dataclass(frozen=True)
class Given:
    """A photograph that was sent to be worked on later. id: also the name of its folder in the store."""

    id: str
    name: str
    width: int
    height: int
    format: str
    folder: Path

    @property
    def file(self) -> Path:
        """Its bytes as they came."""
        return self.folder / UPLOAD


@dataclass(eq=False)
class Job:
    """Work that was asked for. id: also the name of its folder in the store. name: what the client calls the photograph. engine: what
    works on it. order: what was asked for, None for a simulated damage. photo: the id of the photograph that was given before, if it was.
    forgotten: the client has deleted it.
    """

    id: str
    task: Task
    folder: Path
    name: str
    engine: str
    seed: int
    order: Order | None = None
    photo: str = ""
    forgotten: bool = False

    @property
    def delivery(self) -> Delivery | None:
        """What came of it, None until it is done."""
        return self.task.result


class Service:
    """One queue, one store, the restorers. Thread-safe."""

    def __init__(self, settings: ServerSettings, restorers: Restorers | None = None) -> None:
        self.settings = settings
        self.devices = devices(settings.device)
        self.restorers = restorers or Restorers(engines(settings.further))
        self.store = Store(settings.keep, most=settings.max_stored, share=settings.max_stored / 4)
        self.metrics = Metrics()
        self.decoding = Pixels(settings.max_pixels)
        self.queue = Queue(
            self.devices,
            waiting=settings.waiting,
            per_client=settings.per_client,
            seconds=settings.seconds,
            record=self._ended,
        )
        self._jobs: dict[str, Job] = {}
        self._given: dict[str, Given] = {}
        self._lock = threading.Lock()

    def check(self, data: bytes, name: str) -> tuple[int, int]:
        """Width and height by the header. Raises TooLarge, NotAPhoto, and InputError for a damaged header or no bytes."""
        if len(data) > self.settings.max_bytes:
            raise TooLarge(
                f"{name}: {len(data) / 2**20:.1f} MiB; photographs may have {self.settings.max_bytes / 2**20:g} MiB here"
            )
        if not data:
            raise InputError(f"{name}: the file is empty")
        kind = sniff(data)
        if kind is None:
            try:
                probe(name, data, 1)
            except InputError as error:
                raise NotAPhoto(str(error)) from None
        header = probe(name, data, 1 << 62)
        if header.width * header.height > self.settings.max_pixels:
            raise TooLarge(
                f"{name}: {header.width} x {header.height} is {pixels(header.width * header.height)}; "
                f"photographs may have {pixels(self.settings.max_pixels)} here"
            )
        return header.width, header.height

    def check_order(self, order: Order) -> None:
        """Raises InputError or ModelError for settings that the engine does not have, before anything is queued."""
        if order.options.samples > self.settings.samples:
            raise InputError(f"samples may be at most {self.settings.samples} here, not {order.options.samples}")
        check_format(order.format)
        self.restorers.get(order.engine, self.devices[0], order.preset).resolve(order.options)

    def restore(self, order: Order, data: bytes | Given, client: Caller) -> Job:
        """Queue a restoration. data: the photograph's bytes, or one that was given before. Raises what the checks raise, and Full."""
        if isinstance(data, bytes):
            self.check(data, order.name)
        self.check_order(order)
        start = lambda folder: restoring(order, folder, self.restorers)  # noqa: E731
        return self._start(data, client, start, order.name, order.engine, order.options.seed, order)

    def degrade(self, given: Given, kind: str, severity: float | None, seed: int, client: Caller) -> Job:
        """Queue a simulated damage. Raises InputError for an unknown kind, and Full."""
        simulator(kind)
        check_seed(seed)
        start = lambda folder: degrading(given.name, kind, severity, seed, folder, self.settings.max_pixels)  # noqa: E731
        return self._start(given, client, start, given.name, kind, seed)

    def _start(
        self,
        data: bytes | Given,
        client: Caller,
        work: Callable[[Path], Any],
        name: str,
        engine: str,
        seed: int,
        order: Order | None = None,
    ) -> Job:
        size = len(data) if isinstance(data, bytes) else data.file.stat().st_size
        folder = self.store.make(hold=True, owner=client.share, size=size)
        try:
            if isinstance(data, bytes):
                (folder / UPLOAD).write_bytes(data)
            else:
                shutil.copyfile(data.file, folder / UPLOAD)
            with self._lock:  # so that a task that ends at once finds its job
                task = self.queue.submit(client, work(folder))
                photo = "" if isinstance(data, bytes) else data.id
                job = self._jobs[folder.name] = Job(folder.name, task, folder, name, engine, seed, order, photo)
        except BaseException:
            self.store.remove(folder.name)
            raise
        return job

    def give(self, data: bytes, name: str, client: Caller) -> Given:
        """Keep a photograph to work on later. What is damaged is refused now. Raises what `check` and photo.read raise, and Full."""
        self.check(data, name)
        folder = self.store.make(hold=True, owner=client.share, size=len(data))
        try:
            picture = read(data, name, self.settings.max_pixels)
            (folder / UPLOAD).write_bytes(data)
            small = image_of(picture.pixels)
            save_view(small, folder, "view")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            small.save(folder / "thumbnail.jpg", "JPEG", quality=85)
        except BaseException:
            self.store.remove(folder.name)
            raise
        self.store.release(folder.name)
        given = Given(folder.name, name, picture.width, picture.height, picture.format, folder)
        with self._lock:
            self._given[given.id] = given
        return given

    def given(self, name: str) -> Given | None:
        """A photograph that was sent, None where there is none (any more)."""
        self.sweep()
        with self._lock:
            found = self._given.get(name)
        return None if found is None or self.store.find(name) is None else found

    def find(self, name: str) -> Job | None:
        """A job by its id, None where there is none (any more)."""
        self.sweep()
        with self._lock:
            job = self._jobs.get(name)
        return None if job is None or job.forgotten or self.store.find(name) is None else job

    def forget(self, job: Job) -> None:
        """Cancel the job, if it has not ended, and delete everything about it, as soon as nothing writes into its folder any more."""
        job.forgotten = True
        self.queue.cancel(job.task)
        if job.task.status.final:
            self._delete(job)

    def sweep(self) -> None:
        """Delete what is past its time."""
        gone = self.store.sweep()
        with self._lock:
            for name in gone:
                self._jobs.pop(name, None)
                self._given.pop(name, None)

    def stop(self) -> None:
        """Take no more work and end what there is, saying so to who waits for it; does not wait."""
        self.queue.stop()

    def close(self) -> None:
        """End the work and delete all files."""
        self.queue.close()
        self.store.close()

    def _ended(self, task: Task) -> None:
        self.metrics.job(task)
        with self._lock:  # `submit` holds it until the job is known
            job = next((job for job in self._jobs.values() if job.task is task), None)
        if job is None:
            return  # deleted since it ended
        if job.forgotten:
            self._delete(job)
        else:
            self.store.release(job.id)

    def _delete(self, job: Job) -> None:
        self.store.remove(job.id)
        with self._lock:
            self._jobs.pop(job.id, None)


def devices(name: str) -> list[str]:
    """One name for each device to work on: all CUDA devices for auto."""
    if name == "auto" and torch.cuda.is_available():
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [str(pick_device(name))]


def clean(name: str | None) -> str:
    """What a client calls its file, as a name and nothing more: no folders, no control characters, not too long."""
    base = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in base if c.isprintable() and c not in '<>:"|?*').strip().lstrip(".")
    stem, dot, ending = kept[-LONGEST_NAME:].rpartition(".")
    return (f"{stem}{dot}{ending}" if stem else ending) or "photo"
