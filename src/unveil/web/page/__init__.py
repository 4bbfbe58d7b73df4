"""The page for people: Gradio's controls around our own elements, which get and send photographs over our own addresses."""

from __future__ import annotations

import asyncio
import os

from unveil.web.page import cache

# Before gradio is imported, which reads these once: it reports to its makers on import otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(cache.FOLDER)

import gradio
from fastapi import FastAPI

from unveil.web.page import photographs
from unveil.web.page.batches import Batches
from unveil.web.page.layout import HEAD, blocks, theme
from unveil.web.service import Service


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
    cache.empty()
    app.state.batches = Batches(service)
    page = blocks(service, app.state.batches)
    # Gradio checks where a file lies only on a page that was launched, which a mounted one never says by itself.
    page.has_launched = True
    gradio.mount_gradio_app(
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


__all__ = ["mount"]
