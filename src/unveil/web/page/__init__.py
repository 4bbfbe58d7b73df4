"""The page for people: Gradio's controls around our own elements, which get and send photographs over our own addresses.

A head, three tabs, system fonts, nothing fetched from elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any

from unveil.web.store import page_folder

# Before gradio is imported, which reads these once: it reports to its makers on import otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(page_folder())

import gradio as gr
from fastapi import FastAPI
from gradio.routes import App as GradioApp
from gradio.themes import Base, Default

from unveil.web.page import compare_tab, degrade_tab, open_stream, photographs, restore_tab, words, working
from unveil.web.page.batches import Batches
from unveil.web.page.limits import Limits
from unveil.web.service import Service

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "Consolas", "monospace")
HEAD = "\n".join(
    [
        '<meta name="description" content="Restore photographs">',
        '<link rel="stylesheet" href="/page/assets/page.css">',
        *(
            f'<script type="module" src="/page/assets/{name}.js"></script>'
            for name in ("drop", "progress", "compare", "copy")
        ),
    ]
)


def theme() -> Base:
    """Gradio's plain theme in our colours and the system's fonts (its own come from Google)."""
    return Default(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=list(FONTS), font_mono=list(MONO)
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        slider_color="*primary_600",
        color_accent="*primary_600",
    )


TITLE = "Unveil"
LINE = "Restores photographs: haze, shadow, low light, noise, blur, compression. And says how sure it is."
LINKS = (("help", "Help"), ("help#fails", "Where it fails"))


def blocks(service: Service, batches: Batches, answers: open_stream.Answers) -> gr.Blocks:
    """The page in front of a service."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False) as page:
        visits, limits = working.Visits(service, working.GRACE), Limits(service)
        page.unload(visits.leave)
        links = "".join(f'<a href="/page/{place}" target="_blank">{title}</a>' for place, title in LINKS)
        head = f'<header class="u-head"><h1>{TITLE}</h1><p>{LINE}</p><nav>{links}</nav></header>'
        open_stream.keep_open(page, gr.HTML(head, js_on_load=open_stream.WATCHED), answers)
        with gr.Tabs() as tabs:
            with gr.Tab("Restore", id="restore"):
                photo, photos, stage, button, settings = restore_tab.tab(service, visits, batches, limits)
            with gr.Tab("Compare", id="compare") as comparing:
                compare_tab.tab(service, visits, limits, comparing, photo, settings)
            with gr.Tab("Degrade", id="degrade"):
                hand_on, made = degrade_tab.tab(service, visits)

        async def move(request: gr.Request, id: str | None) -> tuple[Any, ...]:
            given = await degrade_tab.adopt(service, id, working.client(request))
            there = gr.update(selected="restore")
            if given is None:
                lost = words.alert("It was deleted after its time; damage the photograph again.")
                return gr.update(), gr.update(), lost, gr.update(), there
            ready = gr.update(value=restore_tab.ASK, interactive=True)
            return given.id, [given.id], words.handed(given, "restore"), ready, there

        outputs = [photo, photos, stage, button, tabs]
        hand_on.click(move, made, outputs, **working.QUIET)
    page.queue(default_concurrency_limit=None, max_size=256)
    return page


def mount(app: FastAPI, service: Service) -> None:
    """Put the page at / of the application."""
    app.include_router(photographs.router)

    async def inside() -> None:
        _mount(app, service)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(inside())  # where no event loop runs, gradio makes some for its locks and leaves them open
    else:
        _mount(app, service)


def _mount(app: FastAPI, service: Service) -> None:
    shutil.rmtree(page_folder(), ignore_errors=True)
    page_folder().mkdir(mode=0o700)
    app.state.batches = Batches(service)
    answers = open_stream.Answers()
    page = blocks(service, app.state.batches, answers)
    # Gradio checks where a file lies only on a page that was launched, which a mounted one never says by itself.
    page.has_launched = True
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        theme=theme(),
        head=HEAD,
        ssr_mode=False,
        enable_monitoring=False,
        show_error=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        favicon_path=str(photographs.ASSETS / "icon.svg"),
    )
    (mounted,) = (inner for route in app.routes if isinstance(inner := getattr(route, "app", None), GradioApp))

    def end_streams() -> None:
        answers.end()
        mounted.stop_event.set()

    app.state.end_streams = end_streams


__all__ = ["mount"]
