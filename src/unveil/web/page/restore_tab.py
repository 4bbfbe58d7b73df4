"""The tab that restores one photograph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from unveil.errors import InputError
from unveil.figures import INVENTED, UNSURE
from unveil.jobs import again
from unveil.jobs.queue_work import Order
from unveil.web.page import controls as panel
from unveil.web.page import words, working
from unveil.web.page.describing import described, diagnosed
from unveil.web.page.limits import Limits
from unveil.web.service import Job, Service
from unveil.zeroshot.methods import METHODS

ASK = "Restore"
DOUBT = (
    f"Yellow: the draws differ by ±{UNSURE * 255:.0f} of 255 or more, the model was unsure. "
    f"Red: by ±{INVENTED * 255:.0f} or more, it invented. An error that all draws share leaves no trace."
)

ONE_DRAW = "One of the pictures that the photograph may have been."


def tab(service: Service, visits: working.Visits) -> tuple[gr.State, gr.HTML, panel.Controls]:
    """Build the tab; returns which photograph it works on, its stage and its settings."""
    photo = gr.State(None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            drop = working.drop(service, "restore")
            stage = working.stage("restore")
            looks = gr.HTML("", js_on_load=None, elem_id="looks-restore", apply_default_css=False)
        with gr.Column(scale=4, min_width=280):
            switches = panel.switches(service)
            button = gr.Button(ASK, variant="primary", size="lg", interactive=False, elem_id="go-restore")
            settings = panel.controls(service, switches)

    def take(event: gr.EventData) -> tuple[Any, ...]:
        try:
            given = working.chosen(service, str(event.id))
        except InputError as error:
            return None, words.alert(str(error))
        return given.id, words.photograph(given)

    async def run(request: gr.Request, id: str | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        try:
            given = working.chosen(service, id)
            order = panel.order(service, given, values)
        except InputError as error:
            yield words.alert(str(error)), gr.update()
            return
        client = working.client(request)
        start = lambda: service.restore(order, given.file, client)  # noqa: E731
        yield gr.update(), gr.update(value="Restoring", interactive=False)
        async for html, _ in visits.follow(request, given, start, lambda job: result(job, order)):
            yield html, gr.update()
        yield gr.update(), gr.update(value=ASK, interactive=True)

    drop.upload(take, None, [photo, stage], show_progress="hidden", api_visibility="private")
    button.click(
        run,
        [photo, *settings.all()],
        [stage, button],
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=None,
    )

    async def look(id: str | None, model: str) -> tuple[Any, ...]:
        given = service.given(id) if id else None
        if given is None:
            return gr.update(interactive=False), "", words.model(panel.CHOOSE, ""), *panel.shown(None)[1:]
        async with service.decoding.turn(given.width * given.height):
            found = await asyncio.to_thread(diagnosed, given)
        told = panel.can_be_told(service, model)
        return gr.update(interactive=True), "" if told else described(found), *panel.shown(found)

    # However it came: sent here, or handed on by another tab.
    photo.change(
        look,
        [photo, settings.model],
        [button, looks, *switches.outputs()],
        show_progress="hidden",
        api_visibility="private",
    )

    limits = Limits(service)

    async def weigh(id: str | None, model: str) -> tuple[Any, ...]:
        given = service.given(id) if id else None
        refused = await asyncio.to_thread(limits.refused, given) if given else {}
        left = panel.offered(service, refused)
        return gr.update(choices=left, value=model if model not in refused else left[0][1]), limits.reason(refused)

    photo.change(
        weigh,
        [photo, settings.model],
        [settings.model, settings.refused],
        show_progress="hidden",
        api_visibility="private",
    )
    return photo, stage, settings


def result(job: Job, order: Order) -> str:
    """The finished restoration, as HTML."""
    assert job.delivery is not None
    here = f"/v1/jobs/{job.id}/views"
    names = list(job.delivery.views)
    draws = [name for name in names if name.startswith("draw-")]
    views = [{"src": f"{here}/after", "label": f"Mean of {len(draws)}" if draws else "After", "note": ""}]
    views += [
        {
            "src": f"{here}/{name}",
            "label": name.replace("-", " ").capitalize(),
            "note": ONE_DRAW,
        }
        for name in draws
    ]
    if "overlay" in names:
        views.append({"src": f"{here}/overlay", "label": "Doubt", "note": DOUBT})
    title = f"Restored in {job.delivery.seconds:.1f} s with seed {job.seed}. The same pixels again"
    zero_shot = order.engine in METHODS
    line = again.command(
        [order.name],
        order.options,
        model=order.engine,
        method=order.engine if zero_shot else "",
        protocol=job.delivery.protocol,
    )
    kept = "Metadata and colour profile as they were." if not job.delivery.notes else "See the notes below."
    return (
        words.compare(f"{here}/before", "Before", views)
        + words.download(job, kept)
        + words.facts(title, job.delivery.protocol, job.delivery.notes, line)
    )
