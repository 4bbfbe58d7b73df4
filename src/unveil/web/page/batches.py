"""Several photographs that are restored with the same settings: fed to the queue one after another, and handed out as one archive."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unveil.errors import UnveilError
from unveil.web.queue import CANCELLED, CLOSING, DONE, FAILED, FINAL, RUNNING, WAITING, Caller, Crowded, Full
from unveil.web.responses import ended
from unveil.web.service import Given, Job, Service
from unveil.web.store import NoSpace
from unveil.web.wire import MOST_IDS
from unveil.web.work import Order

PIECE = 1 << 20
AGAIN = 1.0
"""Seconds after which a full queue is tried again."""
MOST = MOST_IDS
"""Photographs of one batch."""


@dataclass
class Entry:
    """One photograph of a batch. job: None until it was handed to the queue. state, reason: how it stands while there is no job."""

    given: Given
    order: Order
    job: Job | None = None
    state: str = WAITING
    reason: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL if self.job is None else self.job.task.status.final

    def to_json(self) -> dict[str, Any]:
        """Its state for the page."""
        said: dict[str, Any] = {"photo": self.given.id, "name": self.given.name, "job": None, "share": 0.0}
        if self.job is None:
            return said | {"state": self.state, "reason": self.reason}
        status = self.job.task.status
        return said | {
            "state": status.state,
            "reason": status.reason,
            "job": self.job.id,
            "share": round(status.share, 3),
            "seconds": round(status.seconds, 1),
        }


@dataclass(eq=False)
class Batch:
    """Photographs in the order in which they are restored. stopped: no more are begun."""

    id: str
    entries: list[Entry]
    client: Caller
    stopped: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    asked: float = 0.0

    @property
    def done(self) -> list[Job]:
        """The jobs that have a result."""
        return [e.job for e in self.entries if e.job is not None and e.job.task.status.state == DONE]

    def of(self, photo: str) -> Entry | None:
        """The entry of a photograph."""
        return next((entry for entry in self.entries if entry.given.id == photo), None)


class Batches:
    """The batches of all open pages. `start` is called on the server's event loop."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._known: dict[str, Batch] = {}
        self._feeding: set[asyncio.Task[None]] = set()

    def start(self, orders: list[tuple[Given, Order]], client: Caller) -> Batch:
        """Begin a batch; it goes on by itself."""
        self._sweep()
        batch = Batch(secrets.token_urlsafe(16), [Entry(*pair) for pair in orders], client, asked=time.monotonic())
        self._known[batch.id] = batch
        feeding = asyncio.get_running_loop().create_task(self._feed(batch))
        self._feeding.add(feeding)
        feeding.add_done_callback(self._feeding.discard)
        return batch

    def find(self, id: str) -> Batch | None:
        """A batch by its id. Asking keeps its photographs and results for their full time again."""
        batch = self._known.get(id)
        if batch is not None:
            batch.asked = time.monotonic()
            for entry in batch.entries:
                self.service.given(entry.given.id)
                if entry.job is not None:
                    self.service.find(entry.job.id)
        return batch

    def stop(self, batch: Batch) -> None:
        """Cancel what has not ended; what is done stays."""
        batch.stopped = True
        for entry in batch.entries:
            if entry.job is None and not entry.final:
                entry.state = CANCELLED
            elif entry.job is not None and not entry.final:
                self.service.forget(entry.job)

    async def _feed(self, batch: Batch) -> None:
        """Hand photographs to the queue: never so many that others, or the same page, could not ask for anything beside them."""
        ahead = len(self.service.devices) + 1
        waiting: set[asyncio.Task[Any]] = set()
        try:
            for entry in batch.entries:
                while len(waiting) >= ahead:
                    _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                await self._hand_over(batch, entry)
                if entry.job is not None:
                    waiting.add(asyncio.create_task(ended(entry.job)))
            if waiting:
                await asyncio.wait(waiting)
        finally:
            batch.over.set()

    async def _hand_over(self, batch: Batch, entry: Entry) -> None:
        while not batch.stopped:
            try:
                job = await asyncio.to_thread(self.service.restore, entry.order, entry.given, batch.client)
            except (NoSpace, Crowded) as error:
                entry.state, entry.reason = (CANCELLED, CLOSING) if str(error) == CLOSING else (FAILED, str(error))
                return
            except Full:
                await asyncio.sleep(AGAIN)
            except (UnveilError, OSError) as error:
                entry.state, entry.reason = FAILED, " ".join(str(error).split())
                return
            else:
                entry.job = job
                if batch.stopped:  # meanwhile
                    self.service.forget(job)
                return
        entry.state = CANCELLED

    def _sweep(self) -> None:
        """Delete the batches that were not requested since their photographs were deleted."""
        old = time.monotonic() - self.service.settings.keep
        for id, batch in list(self._known.items()):
            if batch.over.is_set() and batch.asked < old:
                del self._known[id]


def to_json(batch: Batch) -> dict[str, Any]:
    """The state of a batch for the page."""
    entries = [entry.to_json() for entry in batch.entries]
    return {
        "id": batch.id,
        "final": batch.over.is_set() or all(entry.final for entry in batch.entries),
        "running": any(entry["state"] == RUNNING for entry in entries),
        "entries": entries,
        "zip": f"/page/batches/{batch.id}/zip" if batch.done else None,
    }


def names(jobs: list[Job]) -> list[str]:
    """A name in the archive for each result: two photographs of one name get numbers."""
    given: list[str] = []
    for job in jobs:
        assert job.delivery is not None
        name, number = job.delivery.name, 1
        while name.casefold() in (other.casefold() for other in given):
            number += 1
            path = Path(job.delivery.name)
            name = f"{path.stem}_{number}{path.suffix}"
        given.append(name)
    return given


class _Sink(io.RawIOBase):
    """Takes what an archive writes, until it is taken on."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What came since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def archive(jobs: list[Job]) -> Iterator[bytes]:
    """The results as a ZIP file, piece by piece, uncompressed: photographs are compressed already."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as into:  # type: ignore[arg-type]
        for job, name in zip(jobs, names(jobs), strict=True):
            assert job.delivery is not None
            try:
                source = job.delivery.file.open("rb")
            except OSError:
                continue  # deleted just now
            entry = zipfile.ZipInfo(name, time.localtime()[:6])
            entry.external_attr = 0o644 << 16
            with (
                source,
                into.open(entry, "w", force_zip64=job.delivery.file.stat().st_size > zipfile.ZIP64_LIMIT) as out,
            ):
                while piece := source.read(PIECE):
                    out.write(piece)
                    yield sink.taken()
    yield sink.taken()
