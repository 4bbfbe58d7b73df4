"""The application: the guard outside, the HTTP interface and the page inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unveil import __version__
from unveil.web import login, routes
from unveil.web.guard import Guard
from unveil.web.service import Service
from unveil.web.settings import Settings

SWEEP = 30.0
"""Seconds between two looks for what is past its time."""
ABOUT = "Restore photographs. The options are those of `unveil restore`; every refusal says why in `detail`."


def application(service: Service, *, page: bool = True) -> FastAPI:
    """The server's application. page: with the web page, which needs gradio."""
    app = FastAPI(
        title="Unveil",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(routes.router)
    app.include_router(login.router)
    app.exception_handler(RequestValidationError)(_invalid)
    if page:
        from unveil.web.page import mount

        mount(app, service)
    app.add_middleware(_Counted, service=service)
    app.add_middleware(_Guarded, app_state=app.state, settings=service.settings)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP)
            app.state.service.sweep()

    sweeping = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.to_thread(app.state.service.close)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)


class _Guarded(Guard):
    """The guard, known to the login page."""

    def __init__(self, app: ASGIApp, app_state: object, settings: Settings) -> None:
        super().__init__(app, settings)
        app_state.guard = self  # type: ignore[attr-defined]


class _Counted:
    """ASGI middleware that counts answers by route."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.metrics = app, service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self.metrics.request(scope["method"], route, message["status"])
            await send(message)

        await self.app(scope, receive, counted if scope["type"] == "http" else send)
