"""The tab that restores one photograph twice with the same seed: by two models, or by one at two fidelities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from unveil.errors import InputError
from unveil.web.page import controls as panel
from unveil.web.page import words, working
from unveil.web.page.controls import default_fidelity, model_choice
from unveil.web.page.limits import Limits
from unveil.web.service import Job, Service

ASK = "Compare"


def tab(
    service: Service,
    visits: working.Visits,
    limits: Limits,
    itself: gr.Tab,
    restored: gr.State,
    settings: dict[str, Any],
) -> None:
    """Build the tab. restored, settings: the photograph and the settings of the tab Restore, which it begins with."""
    photo, came = gr.State(None), gr.State(None)
    names = list(service.restorers.known)
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            drop = working.drop(service, "compare")
            stage = working.stage("compare")
        with gr.Column(scale=4, min_width=280):
            left, _ = model_choice(service, "First model")
            left_fidelity = gr.Slider(0, 1, 0.0, step=0.05, label="Its fidelity")
            right, _ = model_choice(service, "Second model", names[min(1, len(names) - 1)])
            right_fidelity = gr.Slider(0, 1, 1.0, step=0.05, label="Its fidelity")
            seed = gr.Number(0, label="Seed of both", precision=0, minimum=0)
            button = gr.Button(ASK, variant="primary", size="lg", interactive=False, elem_id="go-compare")

    async def run(
        request: gr.Request,
        id: str | None,
        model_a: str,
        fidelity_a: float,
        model_b: str,
        fidelity_b: float,
        number: float | None,
        *values: Any,
    ) -> AsyncIterator[tuple[Any, ...]]:
        try:
            given = working.chosen(service, id)
        except InputError as error:
            yield words.alert(str(error)), gr.update()
            return
        client = working.client(request)
        busy = working.busy("Comparing")
        yield gr.update(), busy
        done: list[tuple[Job, str]] = []
        for model, fidelity in ((model_a, fidelity_a), (model_b, fidelity_b)):
            dial = None if default_fidelity(service, model) is None else fidelity
            try:
                order = panel.order(service, given, panel.changed(service, values, model, fidelity, number))
                await asyncio.to_thread(limits.check, given, order)
            except InputError as error:
                yield words.alert(str(error)), gr.update()
                break
            start = lambda order=order: service.restore(order, given, client)  # noqa: E731
            finished = None
            async for html, finished in visits.follow(request, given, start, lambda job: ""):
                if finished is None:
                    yield html, busy
            if finished is None:
                break
            done.append((finished, model if dial is None else f"{model}, fidelity {dial:g}"))
        if len(done) == 2:
            yield _result(done), gr.update()
        yield gr.update(), gr.update(value=ASK, interactive=True)

    drop.upload(working.taking(service), None, [photo, stage, button], trigger_mode="multiple", **working.QUIET)
    inputs = [photo, left, left_fidelity, right, right_fidelity, seed, *settings.values()]
    button.click(run, inputs, [stage, button], concurrency_limit=None, **working.QUIET)

    def inherit(
        id: str | None, before: str | None, model: str, fidelity: float, number: float | None
    ) -> tuple[Any, ...]:
        given = service.given(id) if id and id != before else None
        if given is None:
            return (gr.update(),) * 7
        return given.id, given.id, words.handed(given, "compare"), gr.update(interactive=True), model, fidelity, number

    itself.select(
        inherit,
        [restored, came, *(settings[name] for name in ("model", "fidelity", "seed"))],
        [photo, came, stage, button, left, left_fidelity, seed],
        **working.QUIET,
    )


def _result(done: list[tuple[Job, str]]) -> str:
    (first, label), (second, other) = done
    views = [
        {"src": f"/v1/jobs/{second.id}/views/after", "label": other, "note": ""},
        {"src": f"/v1/jobs/{first.id}/views/before", "label": "As it came", "note": ""},
    ]
    assert first.delivery is not None
    assert second.delivery is not None
    return (
        words.compare(f"/v1/jobs/{first.id}/views/after", label, views)
        + words.download(first, f"{label}, {first.delivery.seconds:.1f} s")
        + words.download(second, f"{other}, {second.delivery.seconds:.1f} s")
    )
