"""What every tab does with its button: start a job, show how far it is, show what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr

from unveil.errors import InputError, UnveilError
from unveil.jobs.queue import CLOSING, Caller
from unveil.jobs.queue_task import CANCELLED, DONE
from unveil.web.answering import ended
from unveil.web.page import words
from unveil.web.service import Given, Job, Service

DROP = '<unveil-drop most="%g MiB"></unveil-drop>'
HEARD = """
element.addEventListener('photo', (event) => trigger('upload', { id: event.detail.id }), true);
"""


def drop(service: Service, name: str) -> gr.HTML:
    """The place where a photograph comes in; its event `upload` tells the photograph's id."""
    return gr.HTML(
        "",
        html_template=DROP % (service.settings.max_bytes / 2**20),
        js_on_load=HEARD,
        elem_id=f"drop-{name}",
        apply_default_css=False,
    )


def stage(name: str) -> gr.HTML:
    """Where the photograph, its progress and its result are shown."""
    return gr.HTML("", js_on_load=None, elem_id=f"stage-{name}", apply_default_css=False)


def client(request: gr.Request) -> Caller:
    """Whose share it is: the address's; and whose turn: within it every open page has its own."""
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
    """The jobs that open pages wait for. A page that is left takes its jobs with it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._jobs: dict[str, set[Job]] = {}

    def leave(self, request: gr.Request) -> None:
        """Called by gradio when a page is closed: nobody will look at what its jobs would give."""
        for job in self._jobs.pop(str(request.session_hash), set()):
            self.service.forget(job)

    async def follow(
        self, request: gr.Request, given: Given, start: Callable[[], Job], show: Callable[[Job], str]
    ) -> AsyncIterator[tuple[str, Job | None]]:
        """HTML for the stage, step by step: progress, then what `show` says of the finished job, or why there is none.

        start: queues the job, in a thread of its own.
        """
        mine = self._jobs.setdefault(str(request.session_hash), set())
        job: Job | None = None
        try:
            job = await asyncio.to_thread(start)
            mine.add(job)
            yield words.progress(job, given), None
            status = await ended(job)
            if status.state == DONE:
                yield show(job), job
            elif status.state == CANCELLED:
                yield (
                    words.photograph(given)
                    + words.told(
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
                mine.discard(job)
                if not mine:
                    self._jobs.pop(str(request.session_hash), None)
                if not job.task.status.final:
                    self.service.forget(job)
