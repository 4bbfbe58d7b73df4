"""The tab that restores photographs, one or several with the same settings, by methods that can finish within the time allowed here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gradio as gr

from unveil.errors import InputError
from unveil.figures import INVENTED, UNSURE
from unveil.options import command_line
from unveil.web.page import batches as several
from unveil.web.page import controls as panel
from unveil.web.page import words, working
from unveil.web.page.controls import described, diagnosed
from unveil.web.page.limits import Limits
from unveil.web.service import Given, Job, Service
from unveil.web.work import Delivery
from unveil.zeroshot.methods import METHODS

NAME = "restore"
ASK, ASK_ALL = "Restore", "Restore all {}"
SPREAD = (
    f"Yellow: the draws differ by ±{UNSURE * 255:.0f} of 255 or more, the model was unsure. "
    f"Red: by ±{INVENTED * 255:.0f} or more, it invented. An error that all draws share leaves no trace."
)
DOUBT = (
    f"Grey: likely close. Yellow: likely off by ±{UNSURE * 255:.0f} of 255 or more. "
    f"Red: by ±{INVENTED * 255:.0f} or more, invented."
)
LIGHT = " The brightness of the whole may be off by ±{:.0f}: a photograph does not tell how much light there was."
NO_LIGHT = 0.5 / 255
"""Error of the overall brightness below which it is not shown: half of a level."""
ONE_DRAW = "One of the pictures that the photograph may have been."
EACH = "Several photographs: Automatic looks at each on its own."


def tab(
    service: Service, visits: working.Visits, batches: several.Batches, limits: Limits
) -> tuple[gr.State, gr.State, gr.HTML, gr.Button, dict[str, Any]]:
    """Build the tab; returns which photograph is shown, all it works on, its stage, its button and its settings."""
    photo, photos = gr.State(None), gr.State([])
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            drop = working.drop(service, NAME, several.MOST)
            stage = working.stage(NAME)
            looks = gr.HTML("", js_on_load=None, elem_id="looks-restore", apply_default_css=False)
        with gr.Column(scale=4, min_width=280, elem_id="panel-restore"):
            switches = panel.switches(service)
            button = gr.Button(ASK, variant="primary", size="lg", interactive=False, elem_id="go-restore")
            settings, refusals = panel.controls(service, switches)

    def take(event: gr.EventData) -> tuple[Any, ...]:
        try:
            given = working.chosen(service, str(_said(event, "id")))
        except InputError as error:
            return None, [], words.alert(str(error)), gr.update(value=ASK, interactive=False)
        ids = _known(event, given)
        return given.id, ids, words.photograph(given), gr.update(value=_ask(ids), interactive=True)

    def look_at(event: gr.EventData) -> tuple[Any, ...]:
        given = service.given(str(_said(event, "id")))
        if given is None:
            return gr.update(), words.alert("The photograph was deleted after its time; choose it again.")
        batch = batches.find(_said(event, "batch") or "")
        return given.id, _standing(service, given, batch)

    async def run(request: gr.Request, id: str | None, ids: list[str], *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        try:
            given = working.chosen(service, id)
            all_of_them = [working.chosen(service, one) for one in ids] if len(ids) > 1 else [given]
            orders = [(one, panel.order(service, one, values)) for one in all_of_them]
            for one, asked in orders:
                if asked.preset:  # what is offered without one was weighed before
                    await asyncio.to_thread(limits.check, one, asked)
        except InputError as error:
            yield words.alert(str(error)), gr.update()
            return
        client = working.client(request)
        busy = working.busy("Restoring")
        yield gr.update(), busy
        if len(orders) > 1:
            batch = batches.start(orders, client)
            yield words.photograph(given) + words.following(batch.id, NAME), busy
            await until_over(request, batch)
        else:
            start = lambda: service.restore(orders[0][1], given, client)  # noqa: E731
            async for html, _ in visits.follow(request, given, start, result, NAME):
                yield html, busy
        yield gr.update(), gr.update(value=_ask(ids), interactive=True)

    async def until_over(request: gr.Request, batch: several.Batch) -> None:
        visits.wait_for(request, batch, lambda: batches.stop(batch))
        try:
            await batch.over.wait()
        finally:
            if batch.over.is_set():
                visits.done_with(request, batch)

    async def resume(request: gr.Request, event: gr.EventData) -> AsyncIterator[tuple[Any, ...]]:
        """The page was loaded again: go on where it was."""
        given = service.given(str(_said(event, "id")))
        if given is None:
            return
        ids = _known(event, given)
        batch, job = batches.find(_said(event, "batch") or ""), service.find(_said(event, "job") or "")
        busy = working.busy("Restoring")
        if batch is not None and not batch.over.is_set():
            yield given.id, ids, _standing(service, given, batch) + words.following(batch.id, NAME), busy
            await until_over(request, batch)
            yield gr.update(), gr.update(), gr.update(), gr.update(value=_ask(ids), interactive=True)
        elif batch is not None:
            yield given.id, ids, _standing(service, given, batch) + words.following(batch.id, NAME), gr.update()
        elif job is not None and job.order is not None and job.photo == given.id:
            yield given.id, ids, gr.update(), busy
            async for html, _ in visits.follow(request, given, lambda: job, result, NAME):
                yield gr.update(), gr.update(), html, busy
            yield gr.update(), gr.update(), gr.update(), gr.update(value=ASK, interactive=True)
        else:
            yield given.id, ids, words.photograph(given), gr.update()

    # Every word counts, in its order: while one is worked on, Gradio would drop the next, and the page show what is no longer chosen.
    drop.upload(take, None, [photo, photos, stage, button], trigger_mode="multiple", **working.QUIET)
    drop.select(look_at, None, [photo, stage], trigger_mode="multiple", **working.QUIET)
    drop.retry(resume, None, [photo, photos, stage, button], concurrency_limit=None, **working.QUIET)
    button.click(run, [photo, photos, *settings.values()], [stage, button], concurrency_limit=None, **working.QUIET)

    async def look(id: str | None, ids: list[str], model: str) -> tuple[Any, ...]:
        given = service.given(id) if id else None
        if given is None:
            return "", words.model(panel.CHOOSE, ""), *panel.shown(None)[1:]
        if len(ids) > 1:  # what is set is for all of them, and stays when another is looked at
            return (gr.update(),) * (1 + len(switches.outputs()))
        async with service.decoding.turn(given.width * given.height):
            kinds = panel.fixable(service, model)
            found = await asyncio.to_thread(diagnosed, given, kinds)
        return "" if kinds else described(found), *panel.shown(found)

    # However it came: sent here, or handed on by another tab.
    about = [photo, photos, settings["model"]]
    photo.change(look, about, [looks, *switches.outputs()], **working.QUIET)

    def gather(ids: list[str]) -> tuple[Any, ...]:
        if len(ids) < 2:
            return (gr.update(),) * (1 + len(switches.outputs()))
        return "", words.model(EACH, ""), *panel.shown(None)[1:]

    def chips(id: str | None, ids: list[str], model: str) -> tuple[Any, Any]:
        """For a model with switches the kinds found are shown on the switches, and not a second time; what is fixed of them is said."""
        given = service.given(id) if id and len(ids) < 2 else None
        kinds = panel.fixable(service, model)
        if given is None:
            return "", gr.update()
        found = diagnosed(given, kinds)
        return ("", panel.in_words(found)) if kinds else (described(found), gr.update())

    settings["model"].change(chips, about, [looks, switches.line], **working.QUIET)
    photos.change(gather, photos, [looks, *switches.outputs()], **working.QUIET)

    async def weigh(id: str | None, ids: list[str], model: str) -> tuple[Any, ...]:
        given = [one for one in map(service.given, {*ids, *([id] if id else [])}) if one is not None]
        largest = max(given, key=lambda one: one.width * one.height, default=None)
        refused = await asyncio.to_thread(limits.refused, largest) if largest else {}
        left = panel.offered(service, refused)
        return gr.update(choices=left, value=model if model not in refused else left[0][1]), limits.reason(refused)

    for state in (photo, photos):
        state.change(weigh, about, [settings["model"], refusals], **working.QUIET)
    return photo, photos, stage, button, settings


def _ask(ids: list[str]) -> str:
    return ASK_ALL.format(len(ids)) if len(ids) > 1 else ASK


def _said(event: gr.EventData, name: str) -> Any:
    """An entry of an event's data, None where it is missing."""
    return (event._data or {}).get(name)


def _known(event: gr.EventData, given: Given) -> list[str]:
    """All photographs that the page says it has."""
    ids = _said(event, "ids")
    return ids[: several.MOST] if isinstance(ids, list) and len(ids) > 1 else [given.id]


def _standing(service: Service, given: Given, batch: several.Batch | None) -> str:
    """One of several photographs as it stands: as it came, in work, or restored."""
    entry = batch.of(given.id) if batch else None
    if entry is None or entry.job is None:
        refused = words.alert(f"It could not be done: {entry.reason}") if entry and entry.reason else ""
        return words.photograph(given) + refused
    status = entry.job.task.status
    if not status.final:
        return words.progress(entry.job, given)
    if entry.job.delivery is not None and service.find(entry.job.id) is not None:
        return result(entry.job)
    if status.state == several.CANCELLED:
        return words.photograph(given) + words.status_line("Cancelled. Nothing was kept of it.")
    return words.photograph(given) + words.alert(
        f"It could not be done: {status.reason or 'it was deleted after its time'}"
    )


def result(job: Job) -> str:
    """The finished restoration, as HTML."""
    assert job.delivery is not None
    assert job.order is not None
    here = f"/v1/jobs/{job.id}/views"
    names = list(job.delivery.views)
    draws = [name for name in names if name.startswith("draw-")]
    saved = _saving(job)
    after = f"Mean of {len(draws)}" if draws else "After"
    views: list[dict[str, str]] = [{"src": f"{here}/after", "label": after, "note": ""}]
    views += [
        {"src": f"{here}/{name}", "label": name.replace("-", " ").capitalize(), "note": ONE_DRAW, **saved(name)}
        for name in draws
    ]
    if "overlay" in names:
        beside = {"before": f"{here}/after", "before_label": after}
        views.append(
            {"src": f"{here}/overlay", "label": "Doubt", "note": _of_doubt(job.delivery), **beside, **saved("doubt")}
        )
    title = f"Restored in {job.delivery.seconds:.1f} s with seed {job.seed}. The same pixels again"
    zero_shot = job.engine in METHODS
    line = command_line(
        [job.order.name],
        job.order.options,
        model=job.engine,
        method=job.engine if zero_shot else "",
        preset=job.order.preset,
        protocol=job.delivery.protocol,
    )
    kept = "Metadata and colour profile as they were." if not job.delivery.notes else "See the notes below."
    return (
        words.compare(f"{here}/before", "Before", views)
        + words.download(job, kept)
        + words.facts(title, job.delivery.protocol, job.delivery.notes, line, job.id)
    )


def _of_doubt(delivery: Delivery) -> str:
    """What the picture of doubt shows, and what it cannot show."""
    if delivery.light is None:
        return SPREAD
    return DOUBT + (LIGHT.format(255 * delivery.light) if delivery.light >= NO_LIGHT else "")


def _saving(job: Job) -> Callable[[str], dict[str, str]]:
    """What a view needs to be saved as a file: where it is, and its name."""

    def saved(view: str) -> dict[str, str]:
        assert job.delivery is not None
        file = job.delivery.views[view]
        name = f"{Path(job.name).stem}_{view}{file.suffix}"
        return {"save": f"/v1/jobs/{job.id}/views/{view}", "name": name}

    return saved
