"""From jobs and errors to answers."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException

from unveil.errors import UnveilError
from unveil.web.queue import CANCELLED, CLOSING, Crowded, Full, Status
from unveil.web.service import Job, NotAPhoto, Service, TooLarge
from unveil.web.work import Delivery

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""


LEFT = 499
"""What is counted where the client left before there was an answer, as proxies do."""
DISK = "the server's disk is full; try again later"


def is_full(error: BaseException | None) -> bool:
    """Whether the disk, or its user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def problem(error: Exception) -> HTTPException:
    """The answer to what a client did wrong."""
    detail = " ".join(str(error).split())
    if isinstance(error, Full):
        status = 503 if isinstance(error, Crowded) else 429
        return HTTPException(status, detail, {"Retry-After": str(error.retry_after)})
    return HTTPException(413 if isinstance(error, TooLarge) else 415 if isinstance(error, NotAPhoto) else 422, detail)


def failure(job: Job) -> HTTPException:
    """The answer where a job has ended without a result."""
    status = job.task.status
    if status.state == CANCELLED and status.reason == CLOSING:
        return HTTPException(503, status.reason, {"Retry-After": "30"})
    if status.state == CANCELLED:
        return HTTPException(409, "the restoration was cancelled")
    if is_full(job.task.error) or is_full(getattr(job.task.error, "__cause__", None)):
        return HTTPException(507, DISK)
    if isinstance(job.task.error, UnveilError):
        return HTTPException(422, status.reason)
    if isinstance(job.task.error, MemoryError):
        return HTTPException(503, status.reason)
    return HTTPException(504 if job.task.stopping else 500, status.reason)


def headers(delivery: Delivery, engine: str) -> dict[str, str]:
    """Headers of a result. engine: what was asked for; a specialist may have made the pixels, which the protocol says."""
    plain = delivery.name.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "_").replace("?", "_")
    return {
        "X-Unveil-Seed": str(delivery.seed),
        "X-Unveil-Model": quote(str(delivery.protocol.get("model", engine))),
        "X-Unveil-Seconds": f"{delivery.seconds:.3f}",
        **({} if delivery.light is None else {"X-Unveil-Light-Uncertainty": f"{delivery.light:.5f}"}),
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(delivery.name, safe='')}",
        "Cache-Control": "no-store",
    }


def state(job: Job, service: Service) -> dict[str, Any]:
    """A job as `JobState`."""
    delivery = job.delivery
    here = f"/v1/jobs/{job.id}"
    return {
        "id": job.id,
        **status_fields(job.task.status),
        "expires": round(service.store.left(job.id), 1) if job.task.status.final else None,
        "events": f"{here}/events",
        "result": f"{here}/result" if delivery else None,
        "preview": f"{here}/preview" if job.task.status.detail.get("previews") else None,
        "views": {name: f"{here}/views/{name}" for name in delivery.views} if delivery else {},
        "name": delivery.name if delivery else job.name,
        "seed": job.seed,
        "protocol": delivery.protocol if delivery else {},
        "notes": list(delivery.notes) if delivery else [],
        "light_uncertainty": delivery.light if delivery else None,
    }


def status_fields(status: Status) -> dict[str, Any]:
    """A status in plain values."""
    return {
        "state": status.state,
        "position": status.position,
        "share": round(status.share, 4),
        "seconds": round(status.seconds, 3),
        "left": None if status.left is None else round(status.left, 3),
        "reason": status.reason,
        "detail": status.detail,
    }


async def statuses(job: Job, heartbeat: float = HEARTBEAT) -> AsyncIterator[Status | None]:
    """The job's status now and after every change, up to the last one; None after so many seconds of silence."""
    loop, heard = asyncio.get_running_loop(), asyncio.Queue[Status]()

    def hear(status: Status) -> None:
        with suppress(RuntimeError):  # the event loop was closed meanwhile, and with it all connections
            loop.call_soon_threadsafe(heard.put_nowait, status)

    end = job.task.listen(hear)
    try:
        status = job.task.status
        yield status
        while not status.final:
            try:
                status = await asyncio.wait_for(heard.get(), heartbeat)
            except TimeoutError:
                yield None
                continue
            while not heard.empty():  # a slow reader gets the latest status only
                status = heard.get_nowait()
            yield status
    finally:
        end()


async def events(job: Job) -> AsyncIterator[str]:
    """The same as server-sent events (WHATWG HTML, section 9.2): `status` with its data as JSON."""
    async for status in statuses(job):
        yield ": still here\n\n" if status is None else f"event: status\ndata: {json.dumps(status_fields(status))}\n\n"


async def ended(job: Job) -> Status:
    """Wait for the end of a job."""
    status = job.task.status
    async for said in statuses(job):
        status = said or status
    return status
