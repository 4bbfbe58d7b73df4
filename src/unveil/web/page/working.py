"""What every tab does with its button: start a job, show how far it is, show what came of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr

from unveil.errors import InputError, UnveilError
from unveil.web.page import words
from unveil.web.queue import CANCELLED, CLOSING, DONE, Caller
from unveil.web.responses import ended
from unveil.web.service import Given, Job, Service

DROP = '<unveil-drop most="%g MiB"%s></unveil-drop>'
HEARD = """
element.addEventListener('photo', (event) => trigger('upload', event.detail), true);
element.addEventListener('look', (event) => trigger('select', event.detail), true);
element.addEventListener('resume', (event) => trigger('retry', event.detail), true);
element.dataset.heard = 'yes';
element.dispatchEvent(new Event('heard'));
"""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Arguments of every event: our own elements show what happens, and the events are no interface for programs."""
GRACE = 20.0
"""Seconds for which the work of a closed page goes on, in case the page is loaded again."""


def drop(service: Service, name: str, most: int = 1) -> gr.HTML:
    """The place where photographs come in.

    Its events: `upload` tells the photograph's id (and ids, where there may be several), `select` which of several is to be looked
    at, `retry` what this window had before it was loaded again. most: how many photographs may come in together; several are remembered.
    """
    return gr.HTML(
        "",
        html_template=DROP % (service.settings.max_bytes / 2**20, f' many="{most}"' if most > 1 else ""),
        js_on_load=HEARD,
        elem_id=f"drop-{name}",
        apply_default_css=False,
    )


def stage(name: str) -> gr.HTML:
    """Where the photograph, its progress and its result are shown."""
    return gr.HTML("", js_on_load=None, elem_id=f"stage-{name}", apply_default_css=False)


def busy(name: str = "") -> dict[str, Any]:
    """What a button becomes while its work goes on, under another name where one is given.

    It belongs to every message of the work, not to the first alone, so that one that is lost leaves nothing wrong.
    """
    return gr.update(value=name, interactive=False) if name else gr.update(interactive=False)


def client(request: gr.Request) -> Caller:
    """Who asks: the address, whose pages share its places in the queue, and the open page, which has turns of its own."""
    return Caller(request.client.host if request.client else "unknown", str(request.session_hash))


def chosen(service: Service, id: str | None) -> Given:
    """The photograph that this page works on. Raises InputError where there is none (any more)."""
    given = service.given(id) if id else None
    if given is None:
        raise InputError(
            "The photograph was deleted after its time; choose it again." if id else "Choose a photograph first."
        )
    return given


def taking(service: Service) -> Callable[[gr.EventData], tuple[Any, ...]]:
    """What a tab does when a photograph is chosen: (its id, its description, whether the button may be pressed)."""

    def take(event: gr.EventData) -> tuple[Any, ...]:
        try:
            given = chosen(service, str(event.id))
        except InputError as error:
            return None, words.alert(str(error)), gr.update(interactive=False)
        return given.id, words.photograph(given), gr.update(interactive=True)

    return take


class Visits:
    """The work that open pages wait for. A page that is left takes it along, unless it is loaded again soon.

    Work is a `Job` or whatever else `drop` knows how to end; who waits for it is a page, by gradio's name for it. Thread-safe.
    """

    def __init__(self, service: Service, grace: float = GRACE) -> None:
        self.service, self.grace = service, grace
        self._work: dict[str, dict[Any, Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def wait_for(self, request: gr.Request, work: Any, drop: Callable[[], None]) -> None:
        """This page waits for a piece of work. drop: called when no page does any more."""
        with self._lock:
            self._work.setdefault(str(request.session_hash), {})[work] = drop

    def done_with(self, request: gr.Request, work: Any) -> None:
        """This page no longer waits for a piece of work, which has ended."""
        with self._lock:
            mine = self._work.get(str(request.session_hash), {})
            mine.pop(work, None)
            if not mine:
                self._work.pop(str(request.session_hash), None)

    def leave(self, request: gr.Request) -> None:
        """Called by gradio when a page is closed: if it does not come back, its work is stopped."""
        with self._lock:
            left = self._work.pop(str(request.session_hash), {})
        for work, drop in left.items():
            self._later(work, drop)

    def _later(self, work: Any, drop: Callable[[], None]) -> None:
        timer = threading.Timer(self.grace, self._unless_wanted, (work, drop))
        timer.daemon = True
        timer.start()

    def _unless_wanted(self, work: Any, drop: Callable[[], None]) -> None:
        with self._lock:
            wanted = any(work in mine for mine in self._work.values())
        if not wanted:
            drop()

    async def follow(
        self,
        request: gr.Request,
        given: Given,
        start: Callable[[], Job],
        show: Callable[[Job], str],
        tab: str = "",
    ) -> AsyncIterator[tuple[str, Job | None]]:
        """HTML for the stage, step by step: progress, then what `show` says of the finished job, or why there is none.

        start: queues the job, in a thread of its own, or returns one that is under way. tab: which remembers it when the
        page is loaded again.
        """
        job: Job | None = None
        try:
            job = await asyncio.to_thread(start)
            self.wait_for(request, job, lambda: self._drop(job))
            yield words.progress(job, given, tab), None
            status = await ended(job)
            if status.state == DONE:
                yield show(job), job
            elif status.state == CANCELLED:
                yield (
                    words.photograph(given)
                    + words.status_line(
                        "Cancelled. Nothing was kept of it." if status.reason != CLOSING else status.reason.capitalize()
                    ),
                    None,
                )
            else:
                yield words.photograph(given) + words.alert(f"It could not be done: {status.reason}"), None
        except UnveilError as error:
            yield words.photograph(given) + words.alert(str(error)), None
        finally:
            if job is not None:
                if not job.task.status.final:  # the page was left, or lost its connection
                    self._later(job, lambda: self._drop(job))
                self.done_with(request, job)

    def _drop(self, job: Job | None) -> None:
        if job is not None and not job.task.status.final:
            self.service.forget(job)
