"""The tab that damages a photograph by a simulator, to see what it does and to have something to restore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from unveil.degradation.registry import KINDS
from unveil.errors import InputError, UnveilError
from unveil.web.page import words, working
from unveil.web.queue import Caller
from unveil.web.service import Given, Job, Service

ASK = "Damage it"
PLAIN = {
    "haze": "Haze or fog: what is far away fades into the light of the air.",
    "shadow": "Shadows with hard and soft edges, as something outside the picture casts them.",
    "lowlight": "Too little light: dark, noisy, with a tint.",
    "noise": "Noise, as sensors make it.",
    "blur": "Out of focus, or moved while it was taken.",
    "jpeg": "Compression: a file that was saved too small.",
    "rain": "Streaks of rain under a thin veil.",
    "wild": "Blur, resizing, noise and compression together, as pictures gather them on their way.",
}
"""Kinds of damage for people; what exactly is computed is a hint."""


def tab(service: Service, visits: working.Visits) -> tuple[gr.Button, gr.State]:
    """Build the tab; returns the button that hands the damaged photograph on, and the job it is the result of."""
    photo, made = gr.State(None), gr.State(None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            drop = working.drop(service, "degrade")
            stage = working.stage("degrade")
            hand_on = gr.Button("Restore this one", visible=False, elem_id="hand-on")
        with gr.Column(scale=4, min_width=280):
            kind = gr.Dropdown(list(KINDS), value="haze", label="Kind", filterable=False)
            about = gr.HTML(_about("haze"))
            severity = gr.Slider(0, 1, 0.5, step=0.05, label="Severity", info="0 is the mildest, 1 the strongest.")
            seed = gr.Number(0, label="Seed", info="Same seed, same damage.", precision=0, minimum=0)
            button = gr.Button(ASK, variant="primary", size="lg", interactive=False, elem_id="go-degrade")

    async def run(
        request: gr.Request, id: str | None, kind: str, severity: float, seed: float | None
    ) -> AsyncIterator[tuple[Any, ...]]:
        try:
            given = working.chosen(service, id)
        except InputError as error:
            yield words.alert(str(error)), gr.update(), None, gr.update(visible=False)
            return
        client = working.client(request)
        start = lambda: service.degrade(given, kind, float(severity), int(seed or 0), client)  # noqa: E731
        yield gr.update(), working.busy(), None, gr.update(visible=False)
        job = None
        async for html, made_by in visits.follow(request, given, start, _result):
            job = made_by
            yield html, working.busy(), None, gr.update()
        yield gr.update(), gr.update(interactive=True), job.id if job else None, gr.update(visible=job is not None)

    drop.upload(working.taking(service), None, [photo, stage, button], trigger_mode="multiple", **working.QUIET)
    kind.change(_about, kind, about, **working.QUIET)
    outputs = [stage, button, made, hand_on]
    button.click(run, [photo, kind, severity, seed], outputs, concurrency_limit=None, **working.QUIET)
    return hand_on, made


async def adopt(service: Service, id: str | None, client: Caller) -> Given | None:
    """The result of a job as a photograph to work on; None where it was deleted after its time."""
    job = service.find(id) if id else None
    if job is None or job.delivery is None:
        return None
    data, name = job.delivery.file.read_bytes(), job.delivery.name
    try:
        width, height = service.check(data, name)
        async with service.decoding.turn(width * height):
            return await asyncio.to_thread(service.give, data, name, client)
    except UnveilError:
        return None


def _about(kind: str) -> str:
    exactly = (KINDS[kind].__doc__ or "").split("\n\n")[0]
    return words.model(PLAIN[kind], "", " ".join(exactly.split()))


def _result(job: Job) -> str:
    assert job.delivery is not None
    here = f"/v1/jobs/{job.id}/views"
    views = [{"src": f"{here}/after", "label": "Damaged", "note": ""}]
    return (
        words.compare(f"{here}/before", "As it came", views)
        + words.download(job, "Metadata as it was.")
        + words.facts("What was done", _flat(job.delivery.protocol))
    )


def _flat(report: dict[str, Any]) -> dict[str, Any]:
    """The report with maps and kernels as words."""
    updates = {}
    for name, value in report.items():
        updates[name] = (
            f"from {value['min']:g} to {value['max']:g}, mean {value['mean']:g}"
            if isinstance(value, dict) and "min" in value
            else value
        )
    return updates
