"""The page for people: Gradio's controls around our own elements, which get and send photographs over our own addresses."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil

from unveil.jobs.queue_store import private_folder

# Before gradio is imported, which reads these once: it reports to its makers on import otherwise, and puts files into a folder of a
# fixed name that all users of the machine share. Nothing of ours goes there; whatever Gradio itself may put into its own goes with us.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
_CACHE, _alive = private_folder()
os.environ["GRADIO_TEMP_DIR"] = str(_CACHE / "gradio")


@atexit.register
def _clear() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


import gradio
from fastapi import FastAPI

from unveil.web.page import photographs
from unveil.web.page.layout import blocks
from unveil.web.page.theme import HEAD, theme
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
    shutil.rmtree(_CACHE / "gradio", ignore_errors=True)
    (_CACHE / "gradio").mkdir(mode=0o700)
    page = blocks(service)
    page.has_launched = True  # what Gradio asks before it looks at where a file lies; a mounted page never says so by itself
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
