"""Keeps the stream on which a page gets its answers open while the page is looked at.

Gradio's page closes its stream as soon as no event that it knows of is under way. An event that was sent a moment before, and that the page
has not yet heard of as taken, then loses its answers, and the server drops it with the others of that page (gradio 6.31: `close_stream` in
the page, `Queue.clean_events` on the server). So one event that asks nothing is kept under way while somebody looks at the page. A page in
the background has none: nobody presses anything there, and a browser allows only six connections to one server.
"""

from __future__ import annotations

import asyncio
import contextlib

import gradio as gr

from unveil.web.page.working import QUIET

WATCHED = """
const say = () => trigger(document.hidden ? 'blur' : 'focus');
document.addEventListener('visibilitychange', say);
say();
"""


class Answers:
    """The pages that are looked at. Used on the server's event loop only."""

    def __init__(self) -> None:
        self._looked_at: dict[str, set[asyncio.Event]] = {}

    async def stay(self, request: gr.Request) -> None:
        """Ends when the page is hidden or left."""
        page, hidden = str(request.session_hash), asyncio.Event()
        self._looked_at.setdefault(page, set()).add(hidden)
        try:
            await hidden.wait()
        finally:
            with contextlib.suppress(KeyError):
                self._looked_at[page].discard(hidden)

    async def hide(self, request: gr.Request) -> None:
        """The page is in the background, or closed."""
        self._end(str(request.session_hash))

    def end(self) -> None:
        """The server stops: no page is waited for."""
        for page in list(self._looked_at):
            self._end(page)

    def _end(self, page: str) -> None:
        for hidden in self._looked_at.pop(page, set()):
            hidden.set()


def keep_open(page: gr.Blocks, shown: gr.HTML, answers: Answers) -> None:
    """Keep the stream of `page` open while it is looked at. shown: made with `js_on_load=WATCHED`, and always on the page."""
    shown.focus(answers.stay, None, None, trigger_mode="multiple", concurrency_limit=None, **QUIET)
    shown.blur(answers.hide, None, None, trigger_mode="multiple", concurrency_limit=None, **QUIET)
    page.unload(answers.hide)
